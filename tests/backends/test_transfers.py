"""Ids up, vectors down. The streams of a GPU are played by a fake that writes down what waits for what."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vitrail.backends import transfers as room
from vitrail.backends.transfers import PlainTransfers, StreamTransfers, Transfers, transfers_for
from vitrail.layers.kernels.triton import bounds_of
from vitrail.layers.packing import Packing

IDS, LENGTHS = np.array([5, 6, 7]), [2, 1]


class FakeCuda:
    """`torch.cuda` with three streams and no device; `log` has the order of all that is asked of it."""

    def __init__(self):
        self.log: list[str] = []
        self.active = ["compute"]
        self.names = iter(("up", "down"))

    def Stream(self, device):
        return self._stream(next(self.names))

    def _stream(self, name):
        wait = lambda other: self.log.append(f"{name} waits for {other.name}")  # noqa: E731
        return SimpleNamespace(name=name, wait_stream=wait)

    def current_stream(self, device):
        return self._stream(self.active[-1])

    def stream(self, stream):
        cuda = self

        class Context:
            def __enter__(self):
                cuda.active.append(stream.name)

            def __exit__(self, *error):
                cuda.active.pop()

        return Context()

    def Event(self):
        return SimpleNamespace(
            record=lambda stream: self.log.append(f"event on {stream.name}"),
            synchronize=lambda: self.log.append("host waits for event"),
        )

    def synchronize(self, device):
        self.log.append("host waits for device")

    def empty_cache(self):
        self.log.append("empty cache")


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()
    plain_to, plain_copy, plain_empty = torch.Tensor.to, torch.Tensor.copy_, torch.empty

    def to(tensor, device, non_blocking=False):
        if device not in (None, torch.device("cpu")):
            fake.log.append(f"copy on {fake.active[-1]}" if non_blocking else "a copy that waits")
        return plain_to(tensor, "cpu")

    def copy_(tensor, source, non_blocking):
        fake.log.append(f"copy on {fake.active[-1]}" if non_blocking else "a copy that waits")
        return plain_copy(tensor, source)

    monkeypatch.setattr(room.torch, "cuda", fake)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: fake.log.append("pin") or tensor)
    monkeypatch.setattr(torch.Tensor, "to", to)
    monkeypatch.setattr(torch.Tensor, "copy_", copy_)
    monkeypatch.setattr(torch, "empty", lambda shape, dtype, pin_memory: plain_empty(shape, dtype=dtype))
    return fake


def test_a_gpu_has_streams_and_a_cpu_is_simply_waited_for(cuda: FakeCuda):
    for device, kind in (("cuda:0", StreamTransfers), ("cpu", PlainTransfers)):
        transfers = transfers_for(torch.device(device))
        assert type(transfers) is kind
        assert isinstance(transfers, Transfers)


def test_ids_go_up_pinned_on_their_own_stream_and_the_computation_waits_for_them(cuda: FakeCuda):
    tokens, packing = StreamTransfers(torch.device("cuda")).upload(IDS, LENGTHS)

    assert "a copy that waits" not in cuda.log
    assert cuda.log.count("pin") == 4
    assert cuda.log[-1] == "compute waits for up"
    assert tokens.tolist() == IDS.tolist()
    plain = Packing.of(LENGTHS)
    assert packing.lengths == plain.lengths
    before = len(cuda.log)
    assert bounds_of(packing).tolist() == [[0, 0, 2], [2, 2, 3]]
    for name in ("columns", "boundaries", "sequence_ids"):
        assert torch.equal(getattr(packing, name), getattr(plain, name))
    assert cuda.log[before:] == []


def test_vectors_come_down_after_the_computation_and_the_host_waits_only_when_it_asks(cuda: FakeCuda):
    values = torch.tensor([[1.0, 2.0]])

    wait = StreamTransfers(torch.device("cuda")).download(values)

    assert cuda.log == ["down waits for compute", "copy on down", "event on down"]
    assert torch.equal(wait(), values)
    assert cuda.log[-1] == "host waits for event"


def test_memory_is_given_back_only_when_nothing_reads_it(cuda: FakeCuda):
    StreamTransfers(torch.device("cuda")).let_go()

    assert cuda.log == ["host waits for device", "empty cache"]
