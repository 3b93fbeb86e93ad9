"""The loop learns, watches, stops and averages as it says."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional

from training.toy import classified, encoder_with, loop_over, out_of_memory_above, paired, weights
from vitrail.errors import BackendError, FallbackWarning
from vitrail.tasks import Example
from vitrail.training.config import AveragingConfig
from vitrail.training.order import epoch_windows


class Ear:
    def __init__(self):
        self.records = []

    def hear(self, record):
        self.records.append(dict(record))

    def close(self): ...

    def of(self, event, key):
        return [record[key] for record in self.records if record["event"] == event]


def test_the_loss_goes_down_and_a_toy_is_learned_without_an_error():
    ear = Ear()
    loop = loop_over(
        encoder_with("text-classification"),
        classified(96),
        validation=classified(40, seed=1),
        epochs=20,
        learning_rate=1e-2,
        listeners=[ear],
    )
    counters = loop.run()

    losses = ear.of("step", "loss")
    assert np.mean(losses[-12:]) < 0.05 * np.mean(losses[:12])
    assert counters.best == 1.0
    assert counters.history[-1]["metrics"]["accuracy"] == 1.0
    assert {record["split"] for record in counters.history} == {"train_probe", "validation"}


def test_it_takes_the_steps_that_a_plain_loop_in_torch_takes():
    """The oracle: one row at a time without packing, the mean loss of each window, torch's own AdamW and clipping."""
    examples, (ours, plain) = (
        classified(29),
        (encoder_with("text-classification", dtype=torch.float64) for _ in range(2)),
    )
    loop_over(ours, examples, epochs=2, warmup=0, weight_decay=0.1, clip=0.5, batch_tokens=20).run()

    decayed = [each for each in plain.parameters() if each.ndim > 1]
    others = [each for each in plain.parameters() if each.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=3e-3, foreach=False)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (8 - step) / 8)
    lengths = np.array([example.tokens for example in examples])
    for epoch in range(2):
        for window in epoch_windows(lengths, batch_size=8, seed=0, epoch=epoch):
            logits = torch.cat([plain.task_outputs([examples[row]]) for row in window])
            functional.cross_entropy(logits.float(), torch.tensor([examples[row].target for row in window])).backward()
            torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()

    torch.testing.assert_close(weights(ours), weights(plain), rtol=1e-5, atol=1e-6)


def test_how_a_window_is_cut_into_pieces_does_not_change_the_weights():
    whole, cut = (encoder_with("text-classification", dtype=torch.float64) for _ in range(2))
    loop_over(whole, classified(40), batch_tokens=10_000).run()
    loop_over(cut, classified(40), batch_tokens=12).run()

    torch.testing.assert_close(weights(cut), weights(whole), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "made"), [("text-classification", classified), ("embedding", paired)])
def test_a_step_that_is_out_of_memory_is_run_in_smaller_pieces_with_the_same_gradient(
    name: str, made: Callable[[int], list[Example]], monkeypatch: pytest.MonkeyPatch
):
    examples = sorted(made(40), key=lambda example: example.tokens)  # a first piece may fit where the next does not
    longest = examples[-1].tokens
    whole, cut = (encoder_with(name, dtype=torch.float64) for _ in range(2))
    loop_over(whole, examples).run()
    ran = out_of_memory_above(monkeypatch, cut, longest + 3)
    with pytest.warns(FallbackWarning, match="out of memory on cpu with .* tokens in one pass.*training.batch_tokens"):
        counters = loop_over(cut, examples, validation=made(9), batch_tokens=2 * longest + 3).run()

    assert counters.batch_tokens is not None
    assert max(ran) <= longest + 3
    torch.testing.assert_close(weights(cut), weights(whole), rtol=1e-5, atol=1e-6)


def test_a_row_that_is_out_of_memory_alone_is_named(monkeypatch: pytest.MonkeyPatch):
    encoder, examples = encoder_with("text-classification"), classified(8)
    longest = max(examples, key=lambda example: example.tokens)
    out_of_memory_above(monkeypatch, encoder, longest.tokens - 1)

    with (
        pytest.warns(FallbackWarning),
        pytest.raises(BackendError, match=rf"{longest.tokens} tokens of one row \(row {longest.row}\).*max_length"),
    ):
        loop_over(encoder, examples).run()


@pytest.mark.parametrize("watch", ["f1", "acuracy", "eval_loss"])
def test_a_metric_that_does_not_exist_is_refused_at_the_start_with_the_names_that_do(watch: str):
    with pytest.raises(ValueError, match="accuracy, macro_f1, mcc, loss") as error:
        loop_over(encoder_with("text-classification"), classified(8), watch=watch)

    assert watch in str(error.value)


@pytest.mark.parametrize(("watch", "goes"), [("loss", "down"), ("accuracy", "up")])
def test_the_best_evaluation_is_the_one_that_is_kept(watch: str, goes: str):
    kept = []
    loop = loop_over(
        encoder_with("text-classification"),
        classified(32),
        validation=classified(24, seed=2),
        epochs=6,
        watch=watch,
        on_best=lambda evaluation: kept.append(evaluation.metrics[watch]),
    )
    counters = loop.run()

    seen = [record["metrics"][watch] for record in counters.history if record["split"] == "validation"]
    best = min(seen) if goes == "down" else max(seen)
    assert counters.best == kept[-1] == best
    assert counters.best_step == 4 * (seen.index(best) + 1)


def test_it_stops_when_the_watched_metric_has_not_been_better_for_the_patience():
    ear = Ear()
    encoder = encoder_with("text-classification")
    # a learning rate of nothing: no evaluation is better than the first
    loop = loop_over(
        encoder, classified(16), validation=classified(8), epochs=50, learning_rate=1e-30, patience=3, listeners=[ear]
    )

    assert loop.run().step == 2 * 4
    assert "has not been better for 3 evaluations" in ear.of("end", "reason")[0]


def test_evaluation_leaves_train_mode_and_the_draws_of_training_as_they_were():
    plain, evaluated = (encoder_with("text-classification", dropout=0.3) for _ in range(2))
    loop_over(plain, classified(24)).run()
    loop_over(evaluated, classified(24), validation=classified(9), evaluate_steps=1).run()

    assert all(torch.equal(each, weights(plain)[name]) for name, each in weights(evaluated).items())


def test_training_leaves_the_callers_random_numbers_alone():
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    loop = loop_over(encoder_with("text-classification", dropout=0.3), classified(8))
    torch.manual_seed(5)
    loop.run()

    assert torch.equal(torch.rand(3), wanted)


def test_the_average_of_weights_is_what_the_equation_says():
    encoder = encoder_with("text-classification")
    path = [weights(encoder)]

    class Follower(Ear):
        def hear(self, record):
            if record["event"] == "step":
                path.append(weights(encoder))

    kept = []
    loop_over(
        encoder,
        classified(16),
        averaging=AveragingConfig(ema=0.7),
        listeners=[Follower()],
        on_best=lambda evaluation: kept.append(weights(encoder)),
    ).run()

    average = path[0]
    for step in path[1:]:
        average = {name: 0.7 * each + 0.3 * step[name] for name, each in average.items()}
    torch.testing.assert_close(kept[-1], average)
    assert all(torch.equal(each, path[-1][name]) for name, each in weights(encoder).items())


def test_the_mean_of_the_last_epochs_is_kept():
    encoder = encoder_with("text-classification")
    ends, kept = [], []

    class Follower(Ear):
        def hear(self, record):
            if record["event"] == "step" and record["step"] % 2 == 0:
                ends.append(weights(encoder))

    loop_over(
        encoder,
        classified(16),
        epochs=4,
        averaging=AveragingConfig(last_epochs=3),
        listeners=[Follower()],
        on_best=lambda evaluation: kept.append(weights(encoder)),
    ).run()

    mean = {name: sum(end[name] for end in ends[-3:]) / 3 for name in ends[0]}
    torch.testing.assert_close(kept[-1], mean)


def test_a_fixed_number_of_steps_ends_in_the_middle_of_an_epoch():
    assert loop_over(encoder_with("text-classification"), classified(40), steps=7, epochs=1).run().step == 7
