"""The ceilings a speed is held against: what the cores multiply with registers alone, and what the best library reaches
on products of the models' own sizes. In operations per second on all cores, a multiply-add being two.
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.machine import cores, flags

SOURCE = Path(__file__).parent / "peaks.c"
# rows, and (in, out) of the products of MiniLM and BERT-base
ROWS = 512
SIZES = ((384, 1152), (384, 384), (384, 1536), (1536, 384), (768, 2304), (768, 768), (768, 3072), (3072, 768))


def registers() -> dict[str, float]:
    """Precision -> operations per second, from the C program compiled here; empty where that cannot be."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "peaks"
        built = subprocess.run([compiler, "-O2", "-pthread", "-o", program, SOURCE], capture_output=True, text=True)
        if built.returncode:  # not x86-64, or an assembler older than the instructions
            print(f"the register peaks are left out: {built.stderr[-500:]}", file=sys.stderr)
            return {}
        done = subprocess.run([program, str(cores())], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def library() -> dict[str, float]:
    """Precision -> operations per second of torch's products, best of the models' sizes; in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.peaks"], capture_output=True, text=True, check=True, cwd=SOURCE.parents[1]
    )
    return json.loads(done.stdout.strip().splitlines()[-1])


def _torch_products() -> dict[str, float]:
    import torch

    torch.set_num_threads(cores())
    best: dict[str, float] = {}
    with torch.inference_mode():
        for size, out in SIZES:
            rows, weight = torch.randn(ROWS, size), torch.randn(out, size)
            rows8, weight8 = (
                torch.randint(-127, 128, shape, dtype=torch.int8) for shape in ((ROWS, size), (size, out))
            )
            products: dict[str, Callable[[], object]] = {"int8": lambda a=rows8, b=weight8: torch._int_mm(a, b)}
            # oneDNN lays bfloat16 out for AVX-512 alone
            dtypes = {"float32": torch.float32} | ({"bfloat16": torch.bfloat16} if "avx512bw" in flags() else {})
            for name, dtype in dtypes.items():
                packed = torch.ops.mkldnn._reorder_linear_weight(weight.to(dtype), ROWS)
                given = rows.to(dtype)
                products[name] = lambda a=given, b=packed: torch.ops.mkldnn._linear_pointwise(
                    a, b, None, "none", [], ""
                )
            for name, product in products.items():
                best[name] = max(best.get(name, 0.0), 2 * ROWS * size * out / _seconds(product))
    return best


def _seconds(call: Callable[[], object]) -> float:
    """Median of ten samples of at least 20 ms each."""
    call()
    start = time.perf_counter()
    call()
    times = max(1, int(0.02 / (time.perf_counter() - start)))
    samples = []
    for _ in range(10):
        start = time.perf_counter()
        for _ in range(times):
            call()
        samples.append((time.perf_counter() - start) / times)
    return statistics.median(samples)


if __name__ == "__main__":
    print(json.dumps(_torch_products()))
