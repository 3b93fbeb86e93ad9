"""A published config.json, read so that no option is passed over unseen."""

from collections.abc import Iterator, Mapping
from typing import Any

from vitrail.errors import CheckpointError, UnsupportedModel

# Options that say nothing about what the encoder computes: bookkeeping, generation, heads and training of the reference
# library.
# fmt: off
NEUTRAL = frozenset({
    "_name_or_path", "architectures", "auto_map", "bos_token_id", "classifier_dropout", "cls_token_id",
    "decoder_start_token_id", "dtype", "eos_token_id", "finetuning_task", "gradient_checkpointing", "id2label",
    "initializer_cutoff_factor", "is_encoder_decoder", "label2id", "language", "model_type", "num_labels",
    "output_attentions", "output_hidden_states", "output_past", "pad_token_id", "problem_type",
    "sbert_ce_default_activation_function", "sentence_transformers", "sep_token_id", "task_specific_params",
    "tie_word_embeddings", "tokenizer_class", "torch_dtype", "torchscript", "transformers_version", "use_cache",
    "vitrail",
})
# fmt: on


class Config:
    """The options of a config.json. Reading one marks it as understood; `unread` are those nobody asked for."""

    def __init__(self, values: Mapping[str, Any]):
        self._values = dict(values)
        self._read: set[str] = set()

    @property
    def model_type(self) -> str:
        return str(self._values.get("model_type"))

    def __getitem__(self, name: str) -> Any:
        """An option that every checkpoint of the family states. Its absence is an error, not a guess."""
        self._read.add(name)
        if self._values.get(name) is None:
            raise CheckpointError(f"config.json of this {self.model_type} model lacks {name!r}")
        return self._values[name]

    def get(self, name: str, default: Any) -> Any:
        """An option that checkpoints may leave out (or set to null); `default` is what the family's code then uses."""
        self._read.add(name)
        value = self._values.get(name)
        return default if value is None else value

    def nullable(self, name: str, default: Any) -> Any:
        """An option where null is a value of its own ("no padding id"); `default` is for files that leave it out."""
        self._read.add(name)
        return self._values.get(name, default)

    def only(self, name: str, *allowed: Any) -> None:
        """Refuse the model unless the option is absent or one of `allowed`: vitrail does not compute the others."""
        self._read.add(name)
        if name in self._values and self._values[name] not in allowed:
            raise UnsupportedModel(
                f"config.json of this {self.model_type} model sets {name} to {self._values[name]!r}; "
                f"vitrail supports {' or '.join(map(repr, allowed))}"
            )

    def skip(self, *names: str) -> None:
        """Options of the family's heads, training or speed, which the hidden states do not depend on."""
        self._read.update(names)

    def also_called(self, older: Mapping[str, str]) -> None:
        """Names of today -> older names, for families published under both; where a file has both, today's holds."""
        for today, old in older.items():
            self._read.add(old)
            if self._values.get(today) is None and old in self._values:
                self._values[today] = self._values[old]

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    @property
    def unread(self) -> tuple[str, ...]:
        """Options in the file that neither the family reads nor `NEUTRAL` lists; they are reported to the user."""
        return tuple(sorted(set(self._values) - self._read - NEUTRAL))
