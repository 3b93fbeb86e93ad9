"""The programs that are compared, as data. One file for each stack, which runs in an environment of its own and
therefore imports nothing of vitrail's and nothing but its own stack; `rounds` starts them, one process at a time.
"""

from dataclasses import dataclass, field
from typing import Any

from benchmarks.machine import flags

BASE = "sentence-transformers"
OURS = "vitrail"

# Tried once on MiniLM with every kind of text; the fastest is used for the rounds and for the larger models.
BATCHES = ({"batch_size": 8}, {"batch_size": 32}, {"batch_size": 128})
# Runtimes with threads of their own: all cores on one batch, or each core on a batch of its own.
STREAMS = tuple({"batch_size": size, "streams": streams} for size, streams in ((8, 1), (32, 1), (1, 0), (8, 0)))


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """module: of this package. environment: a file of benchmarks/environments, "" for the one the benchmark runs in.
    package: whose version is shown. settings: what the module is given. tried: settings of which the best is taken.
    families: the shapes it can run. needs: a flag of the processor without which it makes no sense, or "".
    """

    name: str
    module: str
    environment: str
    package: str
    precision: str
    how: str
    settings: dict[str, Any] = field(default_factory=dict)
    tried: tuple[dict[str, Any], ...] = ({},)
    families: tuple[str, ...] = ("bert",)
    needs: str = ""

    @property
    def runs_here(self) -> bool:
        return not self.needs or self.needs in flags()


def _vitrail(precision: str, families: tuple[str, ...], *, needs: str = "") -> Contestant:
    return Contestant(
        name=OURS if precision == "float32" else f"{OURS} {precision}",
        module="by_vitrail",
        environment="",
        package="vitrail",
        precision=precision,
        how="default" if precision == "float32" else f'precision="{precision}"',
        settings={"precision": precision},
        families=families,
        needs=needs,
    )


def _sentence_transformers(name: str, precision: str, how: str, backend: str = "torch", **more: Any) -> Contestant:
    environment = "torch" if backend == "torch" else f"sentence-transformers-{backend}"
    return Contestant(
        name=f"{BASE} {name}".strip(),
        module="by_sentence_transformers",
        environment=environment,
        package=BASE,
        precision=precision,
        how=how,
        settings={"backend": backend, "precision": precision},
        **more,
    )


def _transformers(name: str, precision: str, how: str, *, compiled: bool = False, needs: str = "") -> Contestant:
    return Contestant(
        name=f"transformers {name}".strip(),
        module="by_transformers",
        environment="torch",
        package="transformers",
        precision=precision,
        how=how,
        settings={"dtype": precision, "compiled": compiled},
        tried=BATCHES,
        families=("bert",) if compiled else ("bert", "modernbert"),
        needs=needs,
    )


def _runtime(stack: str, name: str, how: str, *, needs: str = "", **settings: Any) -> Contestant:
    return Contestant(
        name=f"{stack} {name}",
        module=f"by_{stack}",
        environment=stack,
        package=stack,
        precision=name.partition(" ")[0],
        how=how,
        settings=settings,
        tried=STREAMS,
        families=("bert", "modernbert") if stack == "openvino" else ("bert",),
        needs=needs,
    )


ALL = (
    _vitrail("float32", ("bert", "modernbert")),
    _vitrail("int8", ("bert", "modernbert")),
    _vitrail("float16", ("bert", "modernbert"), needs="avx512_fp16"),
    _sentence_transformers("", "float32", "default: batches of 32", families=("bert", "modernbert")),
    _sentence_transformers("tuned", "float32", "best batch size", tried=BATCHES),
    _sentence_transformers("onnx", "float32", "ONNX backend", "onnx", tried=BATCHES),
    _sentence_transformers("onnx int8", "int8", "ONNX backend, its dynamic int8 export", "onnx", tried=BATCHES),
    _sentence_transformers("openvino", "float32", "OpenVINO backend", "openvino", tried=BATCHES),
    _sentence_transformers(
        "openvino int8", "int8", "OpenVINO backend, its static int8 export", "openvino", tried=BATCHES
    ),
    _transformers("", "float32", "SDPA"),
    _transformers("compiled", "float32", "SDPA, torch.compile, after a pass over all texts", compiled=True),
    _transformers("bfloat16", "bfloat16", "SDPA, bfloat16", needs="avx512_bf16"),
    _transformers("float16", "float16", "SDPA, float16", needs="avx512_fp16"),
    _runtime("onnxruntime", "float32", "operators fused for BERT", precision="float32"),
    _runtime("onnxruntime", "int8", "operators fused for BERT, dynamic int8 by channel", precision="int8"),
    _runtime("openvino", "float32", "inference precision f32", precision="float32"),
    _runtime("openvino", "bfloat16", "inference precision bf16", needs="avx512_bf16", precision="bfloat16"),
    _runtime("openvino", "int8 dynamic", "int8 weights, activations in groups of 64", precision="int8-dynamic"),
    _runtime("openvino", "int8 static", "NNCF, calibrated on 300 other texts", precision="int8-static"),
    _runtime("ctranslate2", "float32", "compute type float32", compute_type="float32"),
    _runtime("ctranslate2", "int8", "compute type int8_float32", compute_type="int8_float32"),
)
BY_NAME = {contestant.name: contestant for contestant in ALL}
