"""Batches: which sequences, in which order, and what happens when the memory is too small for them."""

import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from tests.api.sentences import SENTENCES
from torch import Tensor

import vitrail
from vitrail.api import embedding, token_vectors
from vitrail.api.ahead import pieces_of, tokenized_ahead
from vitrail.api.batches import Done, Source, computed_batches, token_batches
from vitrail.backends.transfers import PlainTransfers
from vitrail.errors import BackendError, InputError
from vitrail.layers.packing import Packing

LENGTHS = np.array([3, 1, 7, 0, 2, 5, 1, 4])


class Recorded(PlainTransfers):
    """Steps of a device that works beside the host; `log` has the order of events."""

    def __init__(self, ahead: int = 2, log: list[str] | None = None):
        super().__init__(torch.device("cpu"))
        self.ahead = ahead
        self.log: list[str] = [] if log is None else log
        self.started = 0

    def upload(self, ids, lengths):
        self.started += 1
        self.log.append(f"up {self.started}")
        return super().upload(ids, lengths)

    def download(self, values: Tensor) -> Callable[[], Tensor]:
        number = self.started

        def wait() -> Tensor:
            self.log.append(f"wait {number}")
            return values

        return wait

    def let_go(self) -> None:
        self.log.append("let go")


def source_of(lengths: np.ndarray, first: int = 0) -> Source:
    boundaries = np.concatenate([[0], np.cumsum(lengths)])
    return Source(ids=np.arange(first, first + boundaries[-1]), boundaries=boundaries)


def sums(ids: Tensor, packing: Packing) -> Tensor:
    """(sequences, 1) the sum of each sequence's ids."""
    return torch.stack([part.sum().view(1) for part in packing.split(ids)])


def vectors_of(batches: Iterator[Done], count: int) -> list[float]:
    vectors = np.full(count, np.nan)
    for done in batches:
        assert np.isnan(vectors[done.chosen]).all()
        vectors[done.chosen] = done.values[:, 0]
    return vectors.tolist()


def wanted(source: Source) -> list[float]:
    return [float(part.sum()) for part in np.split(source.ids, source.boundaries[1:-1])]


@pytest.mark.parametrize("ahead", [0, 2])
@pytest.mark.parametrize("budget", [1, 6, 100])
def test_every_sequence_is_computed_once_and_its_rows_are_its_tokens(ahead: int, budget: int):
    source = source_of(LENGTHS)
    batches = list(computed_batches(sums, [source], budget=budget, transfers=Recorded(ahead)))

    assert vectors_of(iter(batches), len(LENGTHS)) == wanted(source)
    assert sorted(np.concatenate([done.rows for done in batches])) == list(range(23))


def test_a_step_is_started_before_those_ahead_of_it_are_waited_for_and_their_order_is_kept():
    transfers = Recorded(ahead=2)
    for _ in computed_batches(sums, [source_of(np.array([2] * 4))], budget=2, transfers=transfers):
        transfers.log.append("given")

    assert transfers.log == [
        *["up 1", "up 2", "up 3", "wait 1", "given"],
        *["up 4", "wait 2", "given", "wait 3", "given", "wait 4", "given"],
    ]


def test_the_first_steps_of_a_source_start_before_the_last_of_the_one_before_are_done():
    transfers = Recorded(ahead=2)
    sources = [source_of(LENGTHS), source_of(LENGTHS[::-1], first=50)]
    done = list(computed_batches(sums, sources, budget=100, transfers=transfers))

    assert transfers.log == ["up 1", "up 2", "wait 1", "wait 2"]
    assert [each.source for each in done] == [0, 1]
    for each, source in zip(done, sources, strict=True):
        assert vectors_of(iter([each]), len(LENGTHS)) == wanted(source)


class SmallMemory:
    """A device that refuses a step of more tokens than fit beside those whose vectors were not fetched yet."""

    def __init__(self, tokens: int):
        self.tokens = tokens
        self.refused: list[int] = []
        self.ran: list[int] = []

    def __call__(self, ids: Tensor, packing: Packing) -> Tensor:
        if len(ids) > self.tokens:
            self.refused.append(len(ids))
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.ran.append(len(ids))
        return sums(ids, packing)


@pytest.mark.parametrize("ahead", [0, 2])
@pytest.mark.parametrize("fitting", [7, 8, 11, 22])
def test_a_step_that_is_out_of_memory_is_cut_and_run_again_with_the_same_result(ahead: int, fitting: int):
    source, device = source_of(LENGTHS), SmallMemory(fitting)

    batches = computed_batches(device, [source], budget=23, transfers=Recorded(ahead))

    assert vectors_of(batches, len(LENGTHS)) == wanted(source)
    assert device.refused
    assert max(device.ran) <= fitting


def test_after_a_refusal_steps_of_that_size_are_not_tried_again():
    device = SmallMemory(10)
    source = source_of(np.full(80, 2))

    assert vectors_of(computed_batches(device, [source], budget=16, transfers=Recorded()), 80) == wanted(source)
    assert device.refused == [16]


def test_steps_under_way_are_let_to_finish_before_a_step_is_cut():
    transfers = Recorded(ahead=2)
    calls = iter([None, None, torch.OutOfMemoryError("CUDA out of memory"), None])

    def run(ids: Tensor, packing: Packing) -> Tensor:
        if (error := next(calls)) is not None:
            raise error
        return sums(ids, packing)

    list(computed_batches(run, [source_of(np.array([2] * 3))], budget=2, transfers=transfers))

    assert transfers.log == ["up 1", "up 2", "up 3", "wait 1", "wait 2", "let go", "up 4", "wait 4"]


def test_a_sequence_that_does_not_fit_alone_is_an_error_that_says_how_long_it_is():
    with pytest.raises(BackendError, match=r"7 tokens of one input; lower max_length"):
        list(computed_batches(SmallMemory(6), [source_of(LENGTHS)], budget=23, transfers=Recorded()))


def test_pieces_are_the_texts_in_their_order():
    texts = ["a" * length for length in (1, 31, 2, 3, 40, 0)]

    assert [list(piece) for piece in pieces_of(texts, 8)] == [texts[:2], texts[2:5], texts[5:]]
    assert [list(piece) for piece in pieces_of([], 8)] == [[]]


def test_the_next_piece_is_begun_before_this_one_is_given_and_an_error_names_the_row_among_all():
    begun = []

    def tokenize(texts):
        begun.append(list(texts))
        if "bad" in texts:
            raise InputError("is bad", row=list(texts).index("bad"))
        return len(texts)

    given = tokenized_ahead(tokenize, iter([["a"], ["b", "c"], ["d", "bad"]]))

    assert next(given) == 1
    assert next(given) == 2
    with pytest.raises(InputError, match="row 4: is bad") as raised:
        next(given)
    assert raised.value.row == 4
    assert begun == [["a"], ["b", "c"], ["d", "bad"]]


@pytest.fixture
def as_beside_a_gpu(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Texts are tokenised ahead and steps overlap, as on a GPU; on the CPU."""
    log: list[str] = []
    for room in (embedding, token_vectors):
        monkeypatch.setattr(room, "transfers_for", lambda device: Recorded(ahead=2, log=log))
    return log


@pytest.mark.parametrize("overlong", ["truncate", "window"])
def test_overlapped_embedding_gives_the_same_as_plain(
    minilm: vitrail.Encoder, monkeypatch: pytest.MonkeyPatch, overlong, request: pytest.FixtureRequest
):
    texts = [*SENTENCES, "a long text " * 120]
    options = {"overlong": overlong, "batch_tokens": 40, "prompt": "query: "}
    with monkeypatch.context() as silent:
        silent.setattr("warnings.warn", lambda *words, **options: None)
        plain = minilm.embed_detailed(texts, **options)
        log = request.getfixturevalue("as_beside_a_gpu")
        overlapped = minilm.embed_detailed(texts, **options)

    np.testing.assert_allclose(overlapped.vectors, plain.vectors, atol=1e-5)
    for name in ("input_tokens", "used_tokens", "truncated"):
        np.testing.assert_array_equal(getattr(overlapped, name), getattr(plain, name))
    assert log.index("up 3") < log.index("wait 1")


def test_overlapped_embedding_names_the_row_of_a_text_that_is_too_long(minilm: vitrail.Encoder, as_beside_a_gpu):
    with pytest.raises(InputError) as raised:
        minilm.embed(["a", "b", "a", "word " * 600, "c"], overlong="error", batch_tokens=1)

    assert raised.value.row == 3


def test_no_texts_and_overlapped_token_vectors(minilm: vitrail.Encoder, as_beside_a_gpu: list[str]):
    assert minilm.embed([]).shape == (0, 384)
    np.testing.assert_allclose(
        minilm.tokens(["two words"])[0].vectors.mean(0), minilm.embed("two words", normalize=False), atol=1e-5
    )
    assert as_beside_a_gpu


def test_batches_are_the_longest_first_and_within_the_budget():
    batches = list(token_batches(LENGTHS, 8))

    assert [LENGTHS[batch].tolist() for batch in batches] == [[7], [5], [4, 3], [2, 1, 1, 0]]


def test_a_single_piece_needs_no_thread():
    threads = []
    given = tokenized_ahead(lambda texts: threads.append(threading.current_thread()) or len(texts), iter([["a", "b"]]))

    assert list(given) == [2]
    assert threads == [threading.main_thread()]
