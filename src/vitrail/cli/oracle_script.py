"""What the reference libraries give: the one file of vitrail that may import them, run as a process of its own.

    python -P oracle_script.py TASK FOLDER EXCHANGE

`vitrail verify` starts it (cli/oracle.py) with the network switched off; nothing imports it. EXCHANGE is a folder:

    hidden-states   ids.npz (ids, boundaries)  ->  answer.npz (rows: of every token; version)
    vectors         texts.json                 ->  answer.npz (rows: of every text; version)

What stands in the way (library not installed, model not opened) goes to problem.txt instead. No pickle either way, no
remote code, float32 on the CPU.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


class CannotCompare(Exception):
    """The reference opens the model, but not as the model that it is."""


def hidden_states(folder: Path, exchange: Path) -> tuple[Any, str]:
    """AutoModel's last hidden states, each sequence alone, attention by its plain implementation."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model, report = transformers.AutoModel.from_pretrained(
        folder,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        dtype=torch.float32,
        attn_implementation="eager",
        output_loading_info=True,
    )
    absent = sorted(str(name) for kind in ("missing_keys", "mismatched_keys") for name in report[kind])
    absent = [name for name in absent if "pooler" not in name]
    if absent:
        raise CannotCompare(f"it finds no weights for {len(absent)} tensors of its model (first: {absent[0]})")
    with np.load(exchange / "ids.npz") as given:
        sequences = np.split(given["ids"], given["boundaries"][1:-1])
    model.eval()

    def run(ids: Any) -> Any:
        return model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]

    with torch.inference_mode():
        rows = [run(torch.from_numpy(ids).unsqueeze(0)) for ids in sequences if len(ids)]
    return torch.cat(rows).numpy(), f"transformers {transformers.__version__}"


def vectors(folder: Path, exchange: Path) -> tuple[Any, str]:
    """What SentenceTransformer.encode gives by default."""
    import sentence_transformers
    import torch

    model = sentence_transformers.SentenceTransformer(
        str(folder),
        device="cpu",
        local_files_only=True,
        trust_remote_code=False,
        model_kwargs={"dtype": torch.float32, "use_safetensors": True},
    )
    texts = json.loads((exchange / "texts.json").read_text(encoding="utf-8"))
    rows = model.encode(texts, show_progress_bar=False, convert_to_numpy=True)
    return rows, f"sentence-transformers {sentence_transformers.__version__}"


TASKS = {"hidden-states": hidden_states, "vectors": vectors}


def main(task: str, folder: Path, exchange: Path) -> None:
    try:
        rows, version = TASKS[task](folder, exchange)
    except Exception as error:  # whatever a foreign library raises is a reason, and the caller's to show
        (exchange / "problem.txt").write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
    else:
        np.savez(exchange / "answer.npz", rows=rows.astype(np.float32), version=np.array(version))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
