"""The modules a sentence-transformers model is made of, each with its own config file: read and written.

Options at their plain value are passed over; one that would change the vectors and that nothing here runs is refused.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from torch import Tensor

from vitrail.checkpoints.config_files import read_json, refuse_code_keys, write_json
from vitrail.checkpoints.tensor_files import TensorFiles, write_tensors
from vitrail.errors import CheckpointMismatch, DamagedFile, UnsupportedModel
from vitrail.layers.pooling import POOLING_MODES, PoolingSpec, ProjectionSpec

TRANSFORMER_FILES = tuple(
    f"sentence_{family}_config.json"
    for family in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)

# The order is that in which sentence-transformers concatenates modes that are given as booleans.
POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}

# A class and the module torch defines it in; configs use either path.
ACTIVATION_CLASSES = {
    "identity": ("linear", "Identity"),
    "tanh": ("activation", "Tanh"),
    "relu": ("activation", "ReLU"),
    "gelu": ("activation", "GELU"),
    "sigmoid": ("activation", "Sigmoid"),
    "silu": ("activation", "SiLU"),
}
ACTIVATION_PATHS = {
    path: name
    for name, (module, cls) in ACTIVATION_CLASSES.items()
    for path in (f"torch.nn.modules.{module}.{cls}", f"torch.nn.{cls}")
}

TEXT_ONLY = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}
SENTENCE_EMBEDDING = {"module_input_name": "sentence_embedding", "module_output_name": "sentence_embedding"}

# By this a tokenizer says that it knows no limit (it writes 1e30).
NO_LIMIT = 10**9


def read_transformer(folder: Path) -> tuple[int | None, bool]:
    """(max_length, lowercase) of the encoder. Newer folders keep the length in the tokenizer's config."""
    path = next((folder / name for name in TRANSFORMER_FILES if (folder / name).is_file()), None)
    config: dict[str, Any] = {}
    if path is not None:
        config = read_json(path)
        refuse_code_keys(path, config)
        plain = {
            "max_seq_length": config.get("max_seq_length"),
            "do_lower_case": config.get("do_lower_case", False),
            "unpad_inputs": config.get("unpad_inputs"),  # a way to compute, not a different result
            "transformer_task": "feature-extraction",
            "modality_config": TEXT_ONLY,
            "module_output_name": "token_embeddings",
        }
        for key, value in config.items():
            if value != plain.get(key) and value not in (None, {}):
                unsupported(path, f"{key}={str(value)[:120]}")
    tokenizer = read_json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    limit = config.get("max_seq_length")
    if limit is None:
        limit = tokenizer.get("model_max_length")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int | float) or limit < 1):
        raise DamagedFile(f"{folder} gives {str(limit)[:40]!r} as the longest text, which is not a number of tokens.")
    return (int(limit) if limit is not None and limit < NO_LIMIT else None), bool(config.get("do_lower_case"))


def read_pooling(path: Path) -> tuple[tuple[str, ...], bool, int]:
    """(modes, include_prompt, length of the pooled vector)."""
    config = read_json(path)
    known = {*POOLING_FLAGS, "pooling_mode", "include_prompt", "embedding_dimension", "word_embedding_dimension"}
    if unknown := sorted(config.keys() - known):
        unsupported(path, f"the pooling option {unknown[0]}")
    chosen = config.get("pooling_mode", [mode for flag, mode in POOLING_FLAGS.items() if config.get(flag)] or "mean")
    modes = (chosen,) if isinstance(chosen, str) else tuple(chosen) if isinstance(chosen, list) else ()
    if not modes or not all(isinstance(mode, str) and mode in POOLING_MODES for mode in modes):
        unsupported(path, f"the pooling mode {str(chosen)[:120]!r} (known: {', '.join(POOLING_MODES)})")
    width = config.get("embedding_dimension", config.get("word_embedding_dimension"))
    return modes, bool(config.get("include_prompt", True)), len(modes) * _count(path, "embedding_dimension", width)


def read_projection(folder: Path) -> ProjectionSpec:
    """One Dense module, its tensors checked against its config."""
    path = folder / "config.json"
    config = read_json(path)
    known = {"in_features", "out_features", "bias", "activation_function", "use_residual", *SENTENCE_EMBEDDING}
    if unknown := sorted(config.keys() - known):
        unsupported(path, f"the option {unknown[0]} of Dense")
    if config.get("use_residual"):
        unsupported(path, "a Dense with use_residual")
    refuse_other_names(path, config)
    activation = str(config.get("activation_function", "torch.nn.Tanh"))
    if activation not in ACTIVATION_PATHS:
        unsupported(path, f"the activation {activation[:120]!r} (known: {', '.join(ACTIVATION_CLASSES)})")
    spec = ProjectionSpec(
        in_features=_count(path, "in_features", config.get("in_features")),
        out_features=_count(path, "out_features", config.get("out_features")),
        bias=bool(config.get("bias", True)),
        activation=ACTIVATION_PATHS[activation],
    )
    wanted: dict[str, tuple[int, ...]] = {"linear.weight": (spec.out_features, spec.in_features)}
    if spec.bias:
        wanted["linear.bias"] = (spec.out_features,)
    with TensorFiles.open(folder) as files:
        found: Mapping[str, tuple[int, ...]] = files.shapes
    reshaped = [
        (name, found[name], wanted[name]) for name in wanted.keys() & found.keys() if found[name] != wanted[name]
    ]
    if found.keys() != wanted.keys() or reshaped:
        raise CheckpointMismatch(
            missing=wanted.keys() - found.keys(), unexpected=found.keys() - wanted.keys(), reshaped=reshaped
        )
    return spec


def write_transformer(folder: Path, *, max_length: int | None, lowercase: bool) -> None:
    """The options of the encoder's texts, beside its config.json."""
    write_json(folder / TRANSFORMER_FILES[0], {"max_seq_length": max_length, "do_lower_case": lowercase})


def write_pooling(folder: Path, spec: PoolingSpec, *, hidden_size: int) -> None:
    """Written with flags, which every version reads; other orders of modes than theirs need version 6's list."""
    folder.mkdir(parents=True, exist_ok=True)
    config: dict[str, object] = {"word_embedding_dimension": hidden_size, "include_prompt": spec.include_prompt}
    flags = {flag: mode in spec.modes for flag, mode in POOLING_FLAGS.items()}
    in_order = tuple(mode for flag, mode in POOLING_FLAGS.items() if flags[flag]) == spec.modes
    write_json(folder / "config.json", config | (flags if in_order else {"pooling_mode": list(spec.modes)}))


def write_projection(folder: Path, spec: ProjectionSpec, state: Mapping[str, Tensor]) -> None:
    """A Dense module: `state` is the state dict of an `nn.Linear`."""
    module, cls = ACTIVATION_CLASSES[spec.activation]
    write_tensors(folder, {f"linear.{name}": tensor for name, tensor in state.items()})
    config = {"in_features": spec.in_features, "out_features": spec.out_features, "bias": spec.bias}
    write_json(folder / "config.json", config | {"activation_function": f"torch.nn.modules.{module}.{cls}"})


def refuse_other_names(path: Path, config: Mapping[str, Any]) -> None:
    """Dense and Normalize may work on the vectors of tokens; here they work on that of the sequence."""
    for key, expected in SENTENCE_EMBEDDING.items():
        if config.get(key, expected) not in (expected, None):
            unsupported(path, f"{key}={str(config[key])[:120]!r}")


def unsupported(path: Path, what: str) -> NoReturn:
    """Refuse what would give other vectors than sentence-transformers does."""
    raise UnsupportedModel(
        f"{path}: vitrail does not run {what}. To load the encoder alone, use a copy of the folder "
        "without modules.json."
    )


def _count(path: Path, key: str, value: object) -> int:
    if type(value) is not int or value < 1:
        raise DamagedFile(f"{path}: {key} is {str(value)[:40]!r}, not a number of features. Download the model again.")
    return value
