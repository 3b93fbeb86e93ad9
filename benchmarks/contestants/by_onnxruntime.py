"""onnxruntime on the graph its own optimiser fuses for BERT (attention, GELU, residual + norm), float32 or int8 with
scales found at run time.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contestants.sorted_batches import sorted_batches
from benchmarks.machine import cores


def prepare(model: Path, prepared: Path, settings: dict[str, Any], calibration: list[str]) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers.optimizer import optimize_model

    from benchmarks.contestants.onnx_export import export

    heads, hidden_size = export(model, prepared / "plain.onnx")
    fused = optimize_model(
        str(prepared / "plain.onnx"), model_type="bert", num_heads=heads, hidden_size=hidden_size, opt_level=0
    )
    found = fused.get_fused_operator_statistics()
    if not found["Attention"]:
        raise RuntimeError(f"onnxruntime's optimiser recognised no attention in {model}: {found}")
    fused.save_model_to_file(str(prepared / "model.onnx"))
    if settings["precision"] == "int8":
        quantize_dynamic(
            str(prepared / "model.onnx"),
            str(prepared / "int8.onnx"),
            per_channel=True,
            weight_type=QuantType.QInt8,
            # fused operators tell no types
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )


def load(model: Path, prepared: Path, settings: dict[str, Any], max_length: int) -> Callable[[list[str]], np.ndarray]:
    import onnxruntime

    streams = settings.get("streams", 1)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores() if streams == 1 else 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    file = "int8.onnx" if settings["precision"] == "int8" else "model.onnx"
    session = onnxruntime.InferenceSession(str(prepared / file), options, providers=["CPUExecutionProvider"])

    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        return session.run(["hidden"], inputs)[0]

    return sorted_batches(model, run, batch_size=settings.get("batch_size", 32), streams=streams, max_length=max_length)
