"""Running an encoder without gradients, by the fastest path that gives its results.

The path is chosen anew for every batch, so it can be neither stale nor wrong: a listener on a point (a forward hook),
or half precision that no path has, means the model itself runs; changed weights mean they are laid out again first.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vitrail.backends.laid_out import can_lay_out, free_memory, lay_out, tokens_per_step
from vitrail.backends.native import FLOAT16_NEEDS, NativeEngine, instruction_set, is_built, unsupported
from vitrail.backends.prepacked import can_prepack, prepack
from vitrail.backends.survey import Survey, Surveyor, departure
from vitrail.errors import BackendError
from vitrail.layers.eval_mode import eval_mode
from vitrail.layers.kernels import fused, triton
from vitrail.layers.packing import Packing
from vitrail.models import EncoderModel

TORCH = "torch"
PREPACKED = "torch with oneDNN, weights prepacked"
NATIVE = "native engine"
LAID_OUT = "torch on CUDA, query, key and value in one product"

Run = Callable[[Tensor, Packing], Tensor]


@dataclass(frozen=True, kw_only=True)
class Path:
    """What the next batch runs on. kernel: of attention; precision: of the results; batch_tokens: how many tokens it
    likes at once.
    """

    name: str
    kernel: str
    precision: str
    batch_tokens: int


class Inference:
    """Embeds batches for one model. May be called from several threads at once.

    precision: "int8" asks for the native engine with quantised products; None is the model's own precision.
    """

    def __init__(self, model: EncoderModel, precision: str | None = None):
        self.model = model
        self.precision = precision
        self._surveyor = Surveyor(model)
        self._chosen: tuple[Survey, Path] | None = None
        self._made: tuple[Survey, int, Run] | None = None
        self._lock = threading.Lock()

    @property
    def path(self) -> Path:
        """The fastest that this model, as it is now, can take on this machine."""
        return self._choose(self._surveyor.look())

    def weights_state(self) -> tuple[tuple[int, int], ...]:
        """Changes whenever a weight does."""
        return self._surveyor.look().weights

    @property
    def watched(self) -> bool:
        """Whether somebody listens at a point, and may change what passes there."""
        return self._surveyor.look().watched

    @property
    def usual_batch_tokens(self) -> int:
        """What the path of the last batch likes; the model is looked at only when there was none."""
        return (self.path if self._chosen is None else self._chosen[1]).batch_tokens

    def native_refusal(self) -> str | None:
        """Why the native engine does not run this model; None: it does."""
        reason = unsupported(self.model.spec)
        if reason is not None:
            return f"the model has {reason}"
        if (name := departure(self.model)) is not None:
            return f"{name} is not what the model's spec describes"
        if any(kernel is not fused for kernel in self._surveyor.look().kernels):
            return f"attention was set to run on another kernel ({self.model.kernel_name})"
        dtypes = {parameter.dtype for parameter in self.model.parameters()}
        for parameter in self.model.parameters():
            if parameter.device.type != "cpu" or dtypes not in ({torch.float32}, {torch.float16}):
                return f"the model is in {str(parameter.dtype).removeprefix('torch.')} on {parameter.device}"
        if not is_built():
            return "it was not built: when vitrail was installed there was no C++ compiler, or neither x86-64 nor Arm"
        try:
            has = instruction_set()
        except BackendError as error:
            return str(error)
        if dtypes == {torch.float16} and has != FLOAT16_NEEDS:
            return f"it takes a model in float16 only where the processor has {FLOAT16_NEEDS}; here it has {has}"
        return None

    def run(self, input_ids: Int[Tensor, " tokens"], packing: Packing) -> Float[Tensor, "tokens hidden"]:
        """The hidden states, as the model in eval mode gives them (in int8: nearly)."""
        seen, threads = self._surveyor.look(), torch.get_num_threads()
        path = self._choose(seen)
        if path.name == TORCH:
            with torch.cuda.device_of(input_ids):  # kernels in Triton start on the current device, which may be another
                return self.model(input_ids, packing)
        with self._lock:
            if self._made is None or self._made[:2] != (seen, threads):
                self._made = seen, threads, self._make(path)
            made = self._made
        with torch.cuda.device_of(input_ids):
            return made[2](input_ids, packing)

    def forget(self) -> None:
        """Drop the laid-out weights; the next batch makes them again."""
        with self._lock:
            self._made = None

    def _make(self, path: Path) -> Run:
        if path.name == NATIVE:
            return NativeEngine(self.model, path.precision).run
        return (lay_out if path.name == LAID_OUT else prepack)(self.model)

    def _choose(self, seen: Survey) -> Path:
        chosen = self._chosen
        if chosen is None or chosen[0] != seen:
            self._chosen = chosen = seen, self._path(seen)
        return chosen[1]

    def _path(self, seen: Survey) -> Path:
        parameter = next(self.model.parameters())
        own = str(parameter.dtype).removeprefix("torch.")
        kernel, usual = self.model.kernel_name, self._usual_batch_tokens(parameter)
        if kernel == "fused" and triton.runs(parameter):
            kernel = "fused, on the GPU by Triton"
        if seen.watched or departure(self.model) is not None:
            return Path(name=TORCH, kernel=kernel, precision=own, batch_tokens=usual)
        if can_lay_out(self.model):
            return Path(name=LAID_OUT, kernel=kernel, precision=own, batch_tokens=usual)
        if self.native_refusal() is None:
            return Path(name=NATIVE, kernel="the engine's own", precision=self.precision or own, batch_tokens=16384)
        name = PREPACKED if can_prepack(self.model) else TORCH
        return Path(name=name, kernel=kernel, precision=own, batch_tokens=usual)

    def _usual_batch_tokens(self, parameter: Tensor) -> int:
        """A GPU wants work to fill it, as far as its memory goes; a CPU does best with a batch near its caches."""
        if parameter.device.type != "cuda":
            return 2048
        free = free_memory(parameter.device)
        return tokens_per_step(self.model.spec, free_bytes=free, bytes_each=parameter.element_size())

    def __getstate__(self) -> dict[str, Any]:
        return {"model": self.model, "precision": self.precision}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Eval mode and no gradients; modules that were training are put back."""
    with eval_mode(*modules), torch.inference_mode():
        yield
