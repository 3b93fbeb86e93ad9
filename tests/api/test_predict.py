"""Predictions: in the order of the inputs, whatever stands beside them, on the path that runs for embedding."""

from typing import Any

import numpy as np
import pytest
import torch

import vitrail
from vitrail.errors import BackendError, InputError, NonFiniteOutput

TEXTS = ["short", "a much longer text that goes on and on and on, " * 6, "middling long, this", "", "short"]
INPUTS: dict[str, list[Any]] = {
    "text-classification": TEXTS,
    "token-classification": [*TEXTS, ["some", "words"]],
    "question-answering": [{"question": "what?", "context": text} for text in TEXTS],
    "embedding": [*TEXTS, ("a", "b")],
    "reranking": [*((text, "doc") for text in TEXTS), {"query": "q", "documents": TEXTS}],
    "fill-mask": [f"{text} [MASK]" for text in TEXTS],
}


@pytest.fixture
def encoder(minilm: vitrail.Encoder) -> vitrail.Encoder:
    """An encoder of its own for each test: a task is attached to it."""
    twin = vitrail.Encoder.from_spec(
        vitrail.EncoderSpec.original(
            vocab_size=minilm.tokenizer.vocab_size, hidden_size=12, num_layers=2, num_heads=3, intermediate_size=17
        ),
        minilm.tokenizer,
        seed=0,
    )
    return twin.eval()


def attached(encoder: vitrail.Encoder, name: str) -> vitrail.Encoder:
    torch.manual_seed(0)
    encoder.attach(encoder.new_task(name, labels=("O", "B-X", "I-X") if "classification" in name else ()))
    return encoder


def numbers(value: Any) -> Any:
    """All floats in a result, in order."""
    if isinstance(value, float | np.ndarray):
        return np.ravel(value).tolist()
    if hasattr(value, "__dataclass_fields__"):
        value = vars(value)
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [number for each in values for number in numbers(each)]


@pytest.mark.parametrize("name", INPUTS)
def test_a_result_does_not_depend_on_what_else_is_asked(encoder: vitrail.Encoder, name: str):
    attached(encoder, name)

    together = encoder.predict(INPUTS[name], batch_tokens=40)
    alone = [encoder.predict([each])[0] for each in INPUTS[name]]

    assert [type(each) for each in together] == [type(each) for each in alone]
    for ours, theirs in zip(together, alone, strict=True):
        np.testing.assert_allclose(numbers(ours), numbers(theirs), rtol=1e-4, atol=1e-6)
        assert getattr(ours, "label", None) == getattr(theirs, "label", None)
        assert getattr(ours, "tags", None) == getattr(theirs, "tags", None)
    assert encoder.predict([]) == []


@pytest.mark.parametrize("name", INPUTS)
def test_predictions_are_what_the_outputs_of_training_decode_to(encoder: vitrail.Encoder, name: str):
    attached(encoder, name)
    rows = encoder.task.rows_of(INPUTS[name])
    examples = encoder.task.examples(rows, encoder.tokenizer, max_length=encoder.max_length)

    expected = encoder.task.decode(encoder.task_outputs(examples), examples)

    for ours, theirs in zip(encoder.predict(INPUTS[name]), expected, strict=True):
        np.testing.assert_allclose(numbers(ours), numbers(theirs), rtol=1e-4, atol=1e-6)


def test_the_mode_of_the_encoder_does_not_matter_and_stays(encoder: vitrail.Encoder):
    attached(encoder, "text-classification")
    expected = encoder.predict("a text")
    encoder.train()

    assert encoder.predict("a text") == expected
    assert encoder.training
    assert encoder.task.training


def test_a_single_input_gives_a_single_result(encoder: vitrail.Encoder):
    attached(encoder, "question-answering")

    single = encoder.predict({"question": "what?", "context": "this"})

    assert single == encoder.predict([{"question": "what?", "context": "this"}])[0]


def test_columns_that_hold_the_answer_are_not_read(encoder: vitrail.Encoder):
    attached(encoder, "text-classification")

    assert encoder.predict({"text": "a", "label": "unheard of"}) == encoder.predict("a")


def test_token_types_of_pairs_are_seen(minilm_folder: Any):
    encoder = attached(vitrail.load(minilm_folder, device="cpu"), "text-classification")
    pair = encoder.task.examples([{"text": "a", "text_pair": "b"}], encoder.tokenizer, max_length=64)

    logits = encoder.task_outputs(pair)
    ids, types = (torch.from_numpy(each[0]).unsqueeze(0) for each in (pair[0].sequences, pair[0].token_type_ids))
    hidden = encoder(ids, token_type_ids=types)[0]

    torch.testing.assert_close(logits, encoder.task.head(hidden[:1]))
    scores = encoder.predict([("a", "b")])[0].scores
    assert list(scores.values()) == pytest.approx(logits.softmax(-1)[0].tolist(), abs=1e-5)


@pytest.mark.parametrize("wrong", [5, None, {"other": "a"}])
def test_an_input_that_cannot_be_used_is_named(encoder: vitrail.Encoder, wrong: Any):
    attached(encoder, "text-classification")

    with pytest.raises(InputError, match="row 1: "):
        encoder.predict(["fine", wrong])


def test_numbers_that_are_none_are_an_error_that_names_the_inputs(encoder: vitrail.Encoder):
    attached(encoder, "text-classification")
    special = encoder.tokenizer.encode(["zebra"], max_length=None).ids[1]
    with torch.no_grad():
        encoder.model.embeddings.tokens.weight[special] = float("nan")

    with pytest.raises(NonFiniteOutput) as caught:
        encoder.predict(["a", "b", "zebra", "c"])

    assert caught.value.rows == [2]


@pytest.mark.parametrize("name", ["text-classification", "token-classification"])
def test_predictions_that_are_out_of_memory_are_made_in_smaller_steps(
    encoder: vitrail.Encoder, name: str, monkeypatch: pytest.MonkeyPatch
):
    attached(encoder, name)
    wanted = encoder.predict(TEXTS)
    longest = max(len(text.ids) for text in encoder.tokens(TEXTS))
    most, whole, ran = longest - 1, encoder.inference.run, []

    def small(ids: torch.Tensor, packing: Any) -> torch.Tensor:
        if len(ids) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        ran.append(len(ids))
        return whole(ids, packing)

    monkeypatch.setattr(encoder.inference, "run", small)
    with pytest.raises(BackendError, match="tokens of one input"):
        encoder.predict(TEXTS)
    most = longest
    found = encoder.predict(TEXTS)

    assert len(ran) > 1
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(numbers(ours), numbers(theirs), atol=1e-5)
