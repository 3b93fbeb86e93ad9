"""OpenVINO on the converted graph: float32, bfloat16, int8 weights with scales of the activations found at run time, or
int8 throughout with scales calibrated by NNCF.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contestants.sorted_batches import sorted_batches
from benchmarks.machine import cores


def prepare(model: Path, prepared: Path, settings: dict[str, Any], calibration: list[str]) -> None:
    import nncf
    import openvino
    import torch
    from transformers import AutoConfig, AutoModel

    is_bert = AutoConfig.from_pretrained(model).model_type == "bert"
    options = {"add_pooling_layer": False} if is_bert else {}
    encoder = AutoModel.from_pretrained(model, attn_implementation="sdpa", **options).eval()
    ids = torch.randint(5, 1000, (3, 11))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    inputs["attention_mask"][1, 5:] = 0
    if not is_bert:
        del inputs["token_type_ids"]
    graph = openvino.convert_model(encoder, example_input=inputs)
    if settings["precision"] == "int8-dynamic":
        graph = nncf.compress_weights(graph, mode=nncf.CompressWeightsMode.INT8_SYM)
    if settings["precision"] == "int8-static":
        rows = [{name: row[name] for name in inputs} for row in _inputs(model, calibration)]
        graph = nncf.quantize(
            graph,
            nncf.Dataset(rows),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(calibration),
        )
    openvino.save_model(graph, prepared / "model.xml", compress_to_fp16=False)


def _inputs(model: Path, texts: list[str]) -> list[dict[str, np.ndarray]]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    rows = [np.array([encoding.ids]) for encoding in tokenizer.encode_batch(texts)]
    return [{"input_ids": row, "attention_mask": row * 0 + 1, "token_type_ids": row * 0} for row in rows]


def load(model: Path, prepared: Path, settings: dict[str, Any], max_length: int) -> Callable[[list[str]], np.ndarray]:
    import openvino

    streams = settings.get("streams", 1) or cores()
    config: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY" if streams == 1 else "THROUGHPUT",
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": cores(),
        "INFERENCE_PRECISION_HINT": "bf16" if settings["precision"] == "bfloat16" else "f32",
    }
    if settings["precision"] == "int8-dynamic":
        config["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = 64
    compiled = openvino.Core().compile_model(prepared / "model.xml", "CPU", config)
    names = [port.get_any_name() for port in compiled.inputs]
    of_thread = threading.local()

    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        if not hasattr(of_thread, "request"):
            of_thread.request = compiled.create_infer_request()
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        return of_thread.request.infer({name: inputs[name] for name in names})[0]

    return sorted_batches(
        model, run, batch_size=settings.get("batch_size", 32), streams=settings.get("streams", 1), max_length=max_length
    )
