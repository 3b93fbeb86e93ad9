"""Hidden tokens: which, how many, when, and never in an evaluation."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from training.toy import classified, encoder_with, loop_over
from vitrail.errors import TokenizerError
from vitrail.tasks import Example
from vitrail.tokenization import Tokenizer
from vitrail.training.loop import Loop
from vitrail.training.token_dropout import TokenDropout

CLS, SEP, MASK = 101, 102, 103


@pytest.fixture(scope="module")
def tokenizer(minilm_folder: Path) -> Tokenizer:
    return Tokenizer.from_folder(minilm_folder)


def test_words_are_hidden_with_the_probability_and_special_tokens_never_are(tokenizer: Tokenizer):
    ids = np.concatenate([[CLS], np.arange(2000, 6000), [SEP], np.arange(6000, 10000), [SEP]])
    example = Example(sequences=(ids, ids[:10]), target=3, row=5)

    found = TokenDropout.of(tokenizer, 0.3).hide(example, np.random.default_rng(0))

    changed = found.sequences[0] != ids
    assert (found.sequences[0][changed] == MASK).all()
    assert abs(changed.sum() / 8000 - 0.3) < 4 * (0.3 * 0.7 / 8000) ** 0.5
    assert not changed[np.isin(ids, [CLS, SEP])].any()
    assert [len(each) for each in found.sequences] == [len(ids), 10]
    assert replace(found, sequences=()) == replace(example, sequences=())


def test_a_tokenizer_without_a_mask_hides_behind_the_unknown_token_and_one_without_either_is_refused(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tokenizer, "mask_id", None)
    assert TokenDropout.of(tokenizer, 0.1).hidden_id == tokenizer.unknown_id

    monkeypatch.setattr(tokenizer, "unknown_id", None)
    with pytest.raises(TokenizerError, match=r"set training\.token_dropout: 0"):
        TokenDropout.of(tokenizer, 0.1)


def hiding(loop: Loop, probability: float) -> Loop:
    """The toy has no tokenizer: its token 22 stands for what is hidden."""
    loop.token_dropout = TokenDropout(probability=probability, hidden_id=22, special_ids=(1, 2, 3))
    return loop


def test_training_hides_others_in_every_epoch_and_evaluations_nothing(monkeypatch: pytest.MonkeyPatch):
    encoder, rows = encoder_with("text-classification"), classified(24)
    loop = hiding(loop_over(encoder, rows, validation=classified(9, seed=1), epochs=2), 0.5)
    seen: dict[bool, list[Example]] = {True: [], False: []}
    run = encoder.task_outputs
    monkeypatch.setattr(
        encoder, "task_outputs", lambda examples: seen[encoder.training].extend(examples) or run(examples)
    )

    loop.run()

    by_epoch = [{each.row: each.sequences[0].tolist() for each in seen[True][start : start + 24]} for start in (0, 24)]
    assert sum(by_epoch[0][row] != by_epoch[1][row] for row in by_epoch[0]) > 12
    assert any(22 in ids for ids in by_epoch[0].values())
    for row, ids in by_epoch[0].items():
        assert all(found in (whole, 22) for found, whole in zip(ids, rows[row].sequences[0].tolist(), strict=True))
    whole = {tuple(each.sequences[0].tolist()) for each in (*rows, *classified(9, seed=1))}
    assert seen[False]
    assert all(tuple(each.sequences[0].tolist()) in whole for each in seen[False])


def test_what_is_hidden_belongs_to_the_row_and_not_to_the_cut_of_a_window():
    weights = []
    for batch_tokens in (4096, 8):
        encoder = encoder_with("text-classification", dtype=torch.float64)
        hiding(loop_over(encoder, classified(24), batch_tokens=batch_tokens), 0.5).run()
        weights.append(torch.cat([each.detach().flatten() for each in encoder.parameters()]))

    torch.testing.assert_close(*weights, rtol=1e-9, atol=1e-9)


def test_a_task_that_hides_tokens_itself_is_refused():
    encoder = encoder_with("fill-mask")

    with pytest.raises(ValueError, match=r"token_dropout: fill-mask hides tokens itself"):
        loop_over(encoder, [], token_dropout=0.1)
