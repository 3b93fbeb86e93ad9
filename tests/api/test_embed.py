"""Texts to vectors: order, equality alone and among neighbours, arguments, and what is said when text is cut."""

import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from tests.api.sentences import SENTENCES

import vitrail
from vitrail.errors import InputError, NonFiniteOutput, TextTooLong, TruncationWarning
from vitrail.layers.kernels import reference


@pytest.fixture(scope="module")
def rival(minilm_folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(minilm_folder), device="cpu", local_files_only=True)


def worst_cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(((a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))).min())


def test_vectors_are_those_of_sentence_transformers(minilm: vitrail.Encoder, rival: SentenceTransformer):
    assert worst_cosine(minilm.embed(SENTENCES), rival.encode(SENTENCES)) > 0.99999


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_two_thousand_texts_are_those_of_sentence_transformers_alone_and_batched(
    minilm: vitrail.Encoder, rival: SentenceTransformer
):
    from benchmarks.texts import skewed_texts

    texts = skewed_texts(2000)
    theirs = rival.encode(texts)
    with pytest.warns(TruncationWarning):
        together = minilm.embed(texts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)
        alone = np.stack([minilm.embed(text) for text in texts])
    assert worst_cosine(together, theirs) >= 0.99999
    assert worst_cosine(alone, theirs) >= 0.99999


def test_a_text_is_not_affected_by_its_neighbours(minilm: vitrail.Encoder):
    together = minilm.embed(SENTENCES)
    for text, vector in zip(SENTENCES, together, strict=True):
        np.testing.assert_allclose(minilm.embed(text), vector, atol=2e-6)


def test_the_order_of_the_texts_is_kept_whatever_their_lengths(minilm: vitrail.Encoder):
    backwards = minilm.embed(SENTENCES[::-1])
    np.testing.assert_allclose(backwards[::-1], minilm.embed(SENTENCES), atol=2e-6)


def test_small_batches_give_what_one_batch_gives(minilm: vitrail.Encoder):
    np.testing.assert_allclose(minilm.embed(SENTENCES, batch_tokens=7), minilm.embed(SENTENCES), atol=2e-6)


def test_equal_texts_are_computed_once(minilm: vitrail.Encoder, monkeypatch: pytest.MonkeyPatch):
    tokens = []
    run = minilm.inference.run
    monkeypatch.setattr(minilm.inference, "run", lambda ids, packing: tokens.append(len(ids)) or run(ids, packing))
    vectors = minilm.embed(["same", "other", "same", "same"])
    assert sum(tokens) == 6  # [CLS] same [SEP], [CLS] other [SEP]
    assert (vectors[0] == vectors[2]).all()
    assert (vectors[0] == vectors[3]).all()


def test_one_text_gives_one_vector_and_none_give_none(minilm: vitrail.Encoder):
    assert minilm.embed("text").shape == (384,)
    assert minilm.embed([]).shape == (0, 384)
    assert minilm.embed(["text"]).dtype == np.float32


def test_empty_texts_are_finite(minilm: vitrail.Encoder):
    assert np.isfinite(minilm.embed(["", " ", "\x00", "\u200b"])).all()


def test_cutting_a_text_is_said_and_counted(minilm: vitrail.Encoder):
    texts = ["short", "word " * 300, "word " * 254, "word " * 255]
    with pytest.warns(TruncationWarning, match="2 of 4"):
        found = minilm.embed_detailed(texts)
    assert found.truncated.tolist() == [False, True, False, True]
    assert found.input_tokens.tolist() == [3, 302, 256, 257]
    assert found.used_tokens.tolist() == [3, 256, 256, 256]


def test_a_cut_text_can_be_refused_or_read_in_windows(minilm: vitrail.Encoder):
    with pytest.raises(TextTooLong, match="row 1"):
        minilm.embed(["short", "word " * 300], overlong="error")
    text = " ".join(["attention"] * 200 + ["spaghetti"] * 200)
    whole = minilm.embed_detailed([text], overlong="window")
    assert not whole.truncated.any()
    assert whole.used_tokens[0] == whole.input_tokens[0]
    with pytest.warns(TruncationWarning):
        cut = minilm.embed(text)
    food = minilm.embed("spaghetti")
    assert whole.vectors[0] @ food > cut @ food


def test_windows_are_the_weighted_mean_of_their_vectors(minilm: vitrail.Encoder):
    words = ["alpha"] * 254 + ["beta"] * 100
    parts = minilm.embed([" ".join(words[:254]), " ".join(words[254:])])
    weights = minilm.embed_detailed([" ".join(words[:254]), " ".join(words[254:])]).used_tokens
    mean = (parts * weights[:, None]).sum(0)
    whole = minilm.embed(" ".join(words), overlong="window")
    np.testing.assert_allclose(whole, mean / np.linalg.norm(mean), atol=1e-6)


def test_normalize_and_dimensions(minilm: vitrail.Encoder):
    full, raw = minilm.embed(SENTENCES[:2]), minilm.embed(SENTENCES[:2], normalize=False)
    np.testing.assert_allclose(raw / np.linalg.norm(raw, axis=1, keepdims=True), full, atol=1e-6)
    assert (np.linalg.norm(raw, axis=1) > 2).all()
    np.testing.assert_array_equal(minilm.embed(SENTENCES[:2], dimensions=7, normalize=False), raw[:, :7])
    np.testing.assert_allclose(np.linalg.norm(minilm.embed(SENTENCES[:2], dimensions=7), axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("dimensions", "error"), [(0, ValueError), (-1, ValueError), (385, ValueError), (True, TypeError), ("8", TypeError)]
)
@pytest.mark.usefixtures("without_shape_checks")
def test_dimensions_that_make_no_sense_are_refused(minilm: vitrail.Encoder, dimensions: object, error: type):
    with pytest.raises(error, match="dimensions"):
        minilm.embed("text", dimensions=dimensions)


@pytest.mark.usefixtures("without_shape_checks")
def test_wrong_arguments_are_named(minilm: vitrail.Encoder):
    with pytest.raises(ValueError, match="batch_tokens"):
        minilm.embed("text", batch_tokens=0)
    with pytest.raises(ValueError, match="overlong"):
        minilm.embed("text", overlong="cut")
    with pytest.raises(TypeError, match="sequence"):
        minilm.embed(3)
    with pytest.raises(InputError, match="row 1"):
        minilm.embed(["fine", None])
    with pytest.raises(InputError, match="row 0"):
        minilm.embed(["\ud800"])
    with pytest.raises(InputError, match="row 3"):  # of the texts as given, not of the distinct ones
        minilm.embed(["same", "same", "same", "\ud800"])
    with pytest.raises(TextTooLong, match="row 2"):
        minilm.embed(["same", "same", "word " * 300], overlong="error")
    with pytest.raises(InputError, match=r"row 0.*tuple"):
        minilm.embed([("a", "pair")])
    with pytest.raises(TypeError, match="embed_stream"):
        minilm.embed_stream("text")


def test_a_prompt_is_a_name_or_a_text(minilm: vitrail.Encoder):
    with pytest.raises(ValueError, match="no prompt named 'query'"):
        minilm.embed("text", prompt="query")
    np.testing.assert_array_equal(minilm.embed("text", prompt="query: "), minilm.embed("query: text"))
    minilm.prompts["query"] = "find this: "
    try:
        np.testing.assert_array_equal(minilm.embed_query("text"), minilm.embed("find this: text"))
        np.testing.assert_array_equal(minilm.embed_document("text"), minilm.embed("text"))
    finally:
        minilm.prompts.clear()


def test_a_stream_is_embedded_in_chunks_and_in_order(minilm: vitrail.Encoder, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("vitrail.api.embedding.STREAM_TEXTS", 5)
    seen = []
    texts = (seen.append(index) or text for index, text in enumerate(SENTENCES))
    chunks = []
    for chunk in minilm.embed_stream(texts):
        chunks.append(chunk)
        assert len(seen) <= 5 * len(chunks)  # nothing is read ahead
    assert [len(chunk) for chunk in chunks] == [5, 5, 2]
    vectors = np.concatenate([chunk.vectors for chunk in chunks])
    np.testing.assert_allclose(vectors, minilm.embed(SENTENCES), atol=2e-6)


def test_similarity_is_the_models_own(minilm: vitrail.Encoder):
    a = minilm.embed(SENTENCES[:3], normalize=False)
    expected = np.array([[x @ y / np.linalg.norm(x) / np.linalg.norm(y) for y in a] for x in a[:2]])
    np.testing.assert_allclose(minilm.similarity(a[:2], a), expected, atol=1e-5)
    assert minilm.similarity(a[0], a).shape == (1, 3)


def test_nan_from_the_model_is_an_error_that_names_the_rows(minilm_folder: Path):
    broken = vitrail.load(minilm_folder, device="cpu")
    with torch.no_grad():
        broken.model.embeddings.tokens.weight[broken.tokenizer.encode(["poison"], max_length=9).ids[1]] = float("nan")
    with pytest.raises(NonFiniteOutput) as caught:
        broken.embed(["fine", "poison", "fine too"])
    assert caught.value.rows == [1]
    assert np.isfinite(broken.embed(["fine", "fine too"])).all()


def test_the_fast_path_gives_what_the_reference_kernel_gives(minilm_folder: Path, minilm: vitrail.Encoder):
    plain = vitrail.load(minilm_folder, device="cpu")
    plain.model.use_kernel(reference)
    plain.model.register_forward_hook(lambda *_: None)
    assert plain.inference.path.name != minilm.inference.path.name
    np.testing.assert_allclose(plain.embed(SENTENCES), minilm.embed(SENTENCES), atol=1e-5)


def test_several_threads_may_embed_at_once(minilm: vitrail.Encoder):
    expected = minilm.embed(SENTENCES)
    minilm.inference.forget()
    results: dict[int, np.ndarray] = {}
    threads = [threading.Thread(target=lambda n=n: results.update({n: minilm.embed(SENTENCES)})) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for vectors in results.values():
        np.testing.assert_array_equal(vectors, expected)
