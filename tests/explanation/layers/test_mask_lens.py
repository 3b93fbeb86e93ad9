"""The lens against the reference library's own head on each of its hidden states, and against `predict`."""

import re

import numpy as np
import pytest
import torch
import transformers

import vitrail
from oracles.tiny import ORACLES, randomized
from tasks.references import tiny_bert
from vitrail.explanation.layers.mask_lens import lens

TEXT = "The [MASK] sat on the [MASK]."


@pytest.fixture(scope="module")
def masked(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("masked")
    theirs = tiny_bert(transformers.AutoModelForMaskedLM, vocab_size=tokenizer.vocab_size).eval()
    theirs.save_pretrained(folder)
    tokenizer.save(folder)
    return theirs, vitrail.load(folder, task="fill-mask", device="cpu")


def test_every_layer_says_what_the_reference_library_s_head_says_of_its_hidden_state(masked):
    theirs, ours = masked
    reading = ours.trace(TEXT).reading
    masks = np.flatnonzero(reading.ids == ours.need_tokenizer().mask_id)
    with torch.no_grad():
        states = theirs.bert(torch.from_numpy(reading.ids)[None], output_hidden_states=True).hidden_states
        expected = torch.stack([theirs.cls(state[0, masks]) for state in states]).softmax(-1)

    found = lens(ours, TEXT, top=3)

    assert found.layers == ("embeddings", *(f"layers.{layer}.output" for layer in range(len(states) - 1)))
    np.testing.assert_allclose(found.probabilities, expected.topk(3).values.numpy(), atol=1e-6)


def test_the_last_layer_says_what_predict_says_and_ranks_it_first(masked):
    _, ours = masked
    found, (first, second) = lens(ours, TEXT, top=2), ours.predict(TEXT).masks

    assert found.rank[-1].tolist() == [0, 0]
    assert found.tokens[-1][0][0] == first[0].token
    assert found.tokens[-1][1][0] == second[0].token
    np.testing.assert_allclose(found.probabilities[-1, 0], [each.score for each in first[:2]], atol=1e-6)
    assert found.table(1).splitlines()[0].startswith("layer")


def test_the_last_norm_of_a_family_that_has_one_comes_before_the_head_in_every_layer(tmp_path, tokenizer):
    config = ORACLES["modernbert"].config()
    config.vocab_size = tokenizer.vocab_size
    theirs = randomized(transformers.AutoModelForMaskedLM.from_config(config)).eval()
    theirs.tie_weights()
    theirs.save_pretrained(tmp_path)
    tokenizer.save(tmp_path)
    ours = vitrail.load(tmp_path, task="fill-mask", device="cpu")
    reading, states = ours.trace(TEXT).reading, []
    masks = np.flatnonzero(reading.ids == ours.need_tokenizer().mask_id)
    for part in (theirs.model.embeddings, *theirs.model.layers):
        part.register_forward_hook(lambda part, given, found: states.append(found))
    with torch.no_grad():
        logits = theirs(torch.from_numpy(reading.ids)[None]).logits[0, masks]
        raw = torch.stack([(state[0] if isinstance(state, tuple) else state)[0, masks] for state in states])
        expected, unnormed = (theirs.decoder(theirs.head(each)) for each in (theirs.model.final_norm(raw), raw))

    found = lens(ours, TEXT, top=3)

    assert ours.spec.final_norm
    np.testing.assert_allclose(found.probabilities, expected.softmax(-1).topk(3).values.numpy(), atol=1e-5)
    np.testing.assert_allclose(found.probabilities[-1], logits.softmax(-1).topk(3).values.numpy(), atol=1e-5)
    assert float((expected.softmax(-1) - unnormed.softmax(-1)).abs().max()) > 1e-3


def test_a_text_without_a_mask_and_another_task_are_refused(masked, with_task):
    with pytest.raises(ValueError, match="nothing is masked"):
        lens(masked[1], "no mask")
    with pytest.raises(ValueError, match="load with fill-mask"):
        lens(with_task("text-classification", labels=("a", "b")), TEXT)


def test_a_picture_has_every_layer_s_word_at_every_mask_and_frames_the_last_layer_s(masked, tmp_path):
    found = lens(masked[1], TEXT)

    written = re.findall("<!-- (.*) -->", found.picture(tmp_path / "lens.svg").read_text(encoding="utf-8"))

    for place, layer in enumerate(found.layers):
        assert layer in written
        for mask in (0, 1):
            below = written[written.index(found.tokens[place][mask][0]) + 1]
            assert re.fullmatch(r"0\.\d\d( · #[\d,]+)?", below)
    ranked = [each for each in written if re.fullmatch(r"0\.\d\d( · #[\d,]+)?", each)]
    assert len(ranked) == found.rank.size
    assert sum("#" in each for each in ranked) == (found.rank > 0).sum()
    assert [f"{place + 1:,}" for place in found.rank.flat if place] == [
        each.split("#")[1] for each in ranked if "#" in each
    ]
    assert {"mask 0", "mask 1"} <= set(written)


def test_a_picture_frames_the_true_words_where_they_are_said(masked, tmp_path, monkeypatch):
    found, asked = lens(masked[1], TEXT), {}
    monkeypatch.setattr(
        "vitrail.pictures.word_grid.draw_words", lambda path, words, values, **given: asked.update(given) or path
    )

    found.picture(tmp_path / "lens.png", truth=[found.tokens[0][0][0].upper(), "no word"])

    said = [layer[0][0] == found.tokens[0][0][0] for layer in found.tokens]
    assert asked["marked"].tolist() == [[own, False] for own in said]
    with pytest.raises(ValueError, match="1 true words for 2 masks"):
        found.picture(tmp_path / "lens.png", truth=["a"])
