"""`SentenceTransformer(model).encode(texts)`, which sorts by length and batches by itself, on each of its backends.

int8 is what its own functions export: dynamic for ONNX, static (calibrated) for OpenVINO.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import flags


def prepare(model: Path, prepared: Path, settings: dict[str, Any], calibration: list[str]) -> None:
    if settings["backend"] == "torch":
        return
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(
        str(model), device="cpu", backend=settings["backend"], model_kwargs={"export": True}, local_files_only=True
    )
    encoder.save_pretrained(str(prepared))
    if settings["precision"] != "int8":
        return
    if settings["backend"] == "onnx":
        from sentence_transformers import export_dynamic_quantized_onnx_model

        best = "avx512_vnni" if "avx512_vnni" in flags() else "avx2"
        export_dynamic_quantized_onnx_model(encoder, best, str(prepared), file_suffix="int8")
    else:
        from sentence_transformers import export_static_quantized_openvino_model

        (prepared / "calibration").mkdir(exist_ok=True)
        lines = [json.dumps({"text": text}) for text in calibration]
        (prepared / "calibration" / "train.jsonl").write_text("\n".join(lines), encoding="utf-8")
        export_static_quantized_openvino_model(
            encoder,
            None,
            str(prepared),
            dataset_name=str(prepared / "calibration"),
            dataset_config_name="default",
            dataset_split="train",
            column_name="text",
            file_suffix="int8",
        )


def load(model: Path, prepared: Path, settings: dict[str, Any], max_length: int) -> Callable[[list[str]], np.ndarray]:
    from sentence_transformers import SentenceTransformer

    backend = settings["backend"]
    suffix = "_int8" if settings["precision"] == "int8" else ""
    files = {
        "torch": {},
        "onnx": {"file_name": f"onnx/model{suffix}.onnx", "provider": "CPUExecutionProvider"},
        "openvino": {
            "file_name": f"openvino/openvino_model{suffix}.xml",
            "ov_config": {} if suffix else {"INFERENCE_PRECISION_HINT": "f32"},
        },
    }
    folder = model if backend == "torch" else prepared
    encoder = SentenceTransformer(
        str(folder), device="cpu", backend=backend, model_kwargs=files[backend], local_files_only=True
    )
    encoder.max_seq_length = max_length
    batch_size = settings.get("batch_size", 32)
    return lambda texts: encoder.encode(texts, batch_size=batch_size, show_progress_bar=False)
