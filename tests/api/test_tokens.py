"""Every token's vector beside its characters."""

import numpy as np
import torch

import vitrail


def test_offsets_are_code_points_of_the_original_text(minilm: vitrail.Encoder):
    text = "Straße 👍🏽 naïve 注意"
    (found,) = minilm.tokens([text])
    pieces = [text[start:end] for start, end in found.offsets[~found.special]]
    assert pieces == ["Straße", "👍🏽", "naïve", "注", "意"] or "".join(pieces) == text.replace(" ", "")
    assert found.special.tolist() == [True, *[False] * (len(found) - 2), True]


def test_vectors_are_the_hidden_states(minilm: vitrail.Encoder):
    for found in minilm.tokens(["a b c", "attention is all you need"]):
        hidden = minilm(torch.from_numpy(found.ids).unsqueeze(0))[0]
        np.testing.assert_allclose(found.vectors, hidden.detach().numpy(), atol=1e-5)


def test_long_texts_are_read_in_windows_and_every_token_appears_once(minilm: vitrail.Encoder):
    text = " ".join(f"word{number}" for number in range(300))
    (found,) = minilm.tokens([text], overlong="window")
    assert not found.truncated
    content = found.offsets[~found.special]
    assert (content[1:, 0] >= content[:-1, 1]).all()
    assert content[-1, 1] == len(text)
    (cut,) = minilm.tokens([text])
    assert cut.truncated
    assert len(cut) == minilm.max_length
    # far from the first window's end, what the whole text's tokens hold is what the cut text's hold
    np.testing.assert_allclose(found.vectors[:180], cut.vectors[:180], atol=1e-5)
