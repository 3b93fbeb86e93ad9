"""An Encoder as a folder: for the reference libraries where its family has a counterpart there, else in vitrail's own
format.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from vitrail.checkpoints.config_files import write_json
from vitrail.checkpoints.sentence_transformers import write_sentence_transformer
from vitrail.checkpoints.tensor_files import write_tensors
from vitrail.checkpoints.weight_map import publish
from vitrail.errors import ExportError
from vitrail.families import BY_MODEL_TYPE, Family
from vitrail.families.family import config_of

if TYPE_CHECKING:
    from vitrail.api.encoder import Encoder

FORMATS = ("auto", "transformers", "vitrail")


def save_encoder(encoder: "Encoder", folder: Path, *, format: str) -> None:
    """Write config, weights, tokenizer, pooling and a model card.

    format: "transformers" writes what AutoModel and sentence-transformers open, or raises ExportError with the reason;
        "vitrail" writes the spec itself, which only vitrail opens; "auto" takes the first where the encoder's family
        has a counterpart in transformers.
    """
    family = _family(encoder, format)
    values = config_of(family, encoder.spec)
    if family.architecture is not None:
        values["dtype"] = encoder.precision
    folder.mkdir(parents=True, exist_ok=True)
    parameters = {name: tensor.detach().cpu() for name, tensor in encoder.model.named_parameters()}
    write_tensors(folder, publish(family.weights[0], parameters, encoder.spec.shared_layers))
    if encoder.tokenizer is not None:
        encoder.tokenizer.save(folder)
    write_sentence_transformer(
        folder,
        pooling=encoder.pooling_spec,
        hidden_size=encoder.hidden_size,
        projection_tensors=[_state(projection) for projection in encoder.pooling.projections],
        prompts=encoder.prompts,
        default_prompt=encoder.default_prompt,
        max_length=encoder.max_length,
        lowercase=encoder.lowercase,
        similarity=encoder.similarity_name,
    )
    (folder / "README.md").write_text(_card(encoder, family), encoding="utf-8")
    # Last: a folder without it is not a model, so an interrupted save cannot be mistaken for one.
    write_json(folder / "config.json", values)


def _family(encoder: "Encoder", format: str) -> Family:
    if format not in FORMATS:
        raise ValueError(f"format {format!r}: choose among {', '.join(FORMATS)}")
    own = BY_MODEL_TYPE["vitrail"]
    if format == "vitrail":
        return own
    if encoder.family.architecture is None:
        if format == "transformers":
            raise ExportError(
                "this encoder was built from a spec of its own and has no counterpart in transformers; "
                'save it with format="vitrail"'
            )
        return own
    return encoder.family


def _state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu() for name, tensor in module.state_dict().items()}


def _card(encoder: "Encoder", family: Family) -> str:
    spec = encoder.spec
    opens = "vitrail, transformers and sentence-transformers" if family.architecture else "vitrail"
    pooling = " + ".join(encoder.pooling_spec.modes) + (", normalised" if encoder.pooling_spec.normalize else "")
    origin = encoder.name + (f" at revision {encoder.revision}" if encoder.revision else "")
    return f"""---
library_name: vitrail
pipeline_tag: feature-extraction
tags: [vitrail, encoder, sentence-transformers]
---

# An encoder saved by vitrail

Opened by {opens}.

| | |
|---|---|
| began as | {origin} |
| family | {family.model_types[0]} |
| layers, heads, hidden size | {spec.num_layers}, {spec.num_heads}, {spec.hidden_size} |
| parameters | {sum(parameter.numel() for parameter in encoder.parameters()):,} |
| longest text | {encoder.max_length or "any"} tokens |
| pooling | {pooling} |
| vectors | {encoder.dimensions} dimensions |

```python
import vitrail

encoder = vitrail.load("this-folder")
vectors = encoder.embed(["a text", "another"])
```
"""
