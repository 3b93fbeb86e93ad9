"""The token table's gradient stays where it is from step to step, and nothing of that is left after the run."""

from torch import nn

from training.toy import SPEC, classified, encoder_with, loop_over
from vitrail.api import Encoder
from vitrail.training.records import Record


class Watcher:
    """What stands in the table's gradient after each step."""

    def __init__(self, encoder: Encoder):
        self.weight = encoder.model.embeddings.tokens.weight
        self.kept: list[tuple[int, float] | None] = []

    def hear(self, record: Record) -> None:
        if record["event"] == "step":
            grad = self.weight.grad
            self.kept.append(None if grad is None else (grad.data_ptr(), float(grad.abs().sum())))

    def close(self) -> None: ...


def watched(encoder: Encoder, **options: object) -> Watcher:
    watcher = Watcher(encoder)
    loop_over(encoder, classified(24), listeners=[watcher], **options).run()
    return watcher


def test_the_gradient_is_cleared_in_place_and_the_table_is_as_before_after_the_run():
    encoder = encoder_with("text-classification")
    before = encoder.model.embeddings.tokens.weight.detach().clone()

    kept = watched(encoder).kept

    assert kept == [(kept[0][0], 0.0)] * 6
    assert not before.equal(encoder.model.embeddings.tokens.weight)
    assert encoder.model.embeddings.tokens.weight.grad is None
    assert not encoder.model.embeddings.tokens.sparse


def test_a_table_that_does_not_learn_has_no_gradient():
    encoder = encoder_with("text-classification")

    assert watched(encoder, freeze=("embeddings",)).kept == [None] * 6


def test_a_table_that_a_head_shares_has_its_gradient_as_torch_makes_it():
    encoder = encoder_with("text-classification")
    encoder.task.head.tokens = nn.Linear(SPEC.hidden_size, SPEC.vocab_size)
    encoder.task.head.tokens.weight = encoder.model.embeddings.tokens.weight

    assert watched(encoder).kept == [None] * 6
