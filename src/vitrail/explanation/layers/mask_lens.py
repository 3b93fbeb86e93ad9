"""What a masked-language model would say if it ended after each layer: the lens ([nostalgebraist 2020], for encoders).

The hidden state of a masked token after layer i goes through the model's own last norm (where it has one) and its own
head for masked words. The last layer's words are those of `predict`.

[nostalgebraist 2020]: https://www.lesswrong.com/posts/AcKRB8wDpdaN6v6ru
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64

from vitrail.api import Encoder
from vitrail.api.readings import readings_of
from vitrail.explanation.layers.similarity import layer_names
from vitrail.explanation.layers.tables import in_context, table
from vitrail.tracing import run, still


@dataclass(frozen=True, kw_only=True, eq=False)
class Lens:
    """What stands at each mask after each layer (the embeddings first).

    tokens: the most probable, the first one first. probabilities: theirs. rank: of the last layer's first token, 0 for
    the first place. layers: names. contexts: of each mask, what stands around it.
    """

    layers: tuple[str, ...]
    tokens: tuple[tuple[tuple[str, ...], ...], ...]
    probabilities: Float[np.ndarray, "layers masks top"]
    rank: Int64[np.ndarray, "layers masks"]
    contexts: tuple[str, ...]

    def table(self, mask: int = 0) -> str:
        """Of one mask."""
        rows = []
        for place, layer in enumerate(self.layers):
            found = zip(self.tokens[place][mask], self.probabilities[place, mask], strict=True)
            words = ", ".join(f"{token} {probability:.2f}" for token, probability in found)
            rows.append([layer, f"{self.rank[place, mask]:,}", words])
        width = max(len(row[2]) for row in rows)
        return table(["layer", "rank", "words".ljust(width)], [[*row[:2], row[2].ljust(width)] for row in rows])

    def picture(self, path: str | Path, *, truth: Sequence[str] | None = None) -> Path:
        """PNG, SVG or PDF, by the suffix: each layer's first word at each mask. truth: the words that were hidden.

        A frame marks where the true word is said or, without `truth`, the last layer's.
        """
        from vitrail.pictures.word_grid import draw_words

        masks = len(self.contexts)
        if truth is not None and len(truth) != masks:
            raise ValueError(f"{len(truth)} true words for {masks} masks; give one for each")
        words = [[found[0] for found in layer] for layer in self.tokens]
        marked = self.rank == 0
        if truth is not None:
            wanted = [word.strip().casefold() for word in truth]
            marked = np.array([[one.casefold() == own for one, own in zip(row, wanted, strict=True)] for row in words])
        ranks = [[f" · #{rank + 1:,}" if rank else "" for rank in row] for row in self.rank.tolist()]
        first = self.probabilities[:, :, 0]
        below = [[f"{one:.2f}{rank}" for one, rank in zip(*row, strict=True)] for row in zip(first, ranks, strict=True)]
        titles = [f"mask {mask}" if truth is None else f"mask {mask}: {truth[mask]}" for mask in range(masks)]
        said = "the last layer's" if truth is None else "the true"
        return draw_words(
            Path(path),
            words,
            first,
            below=below,
            marked=marked,
            rows=self.layers,
            columns=list(zip(titles, self.contexts, strict=True)),
            said=f"After each layer the most probable word and its probability (the colour); # is the place of the "
            f"last layer's word where it is not the first. Framed: {said} word.",
        )


def lens(encoder: Encoder, text: str, *, top: int = 5) -> Lens:
    """Of a text with masks, as `predict` of the task fill-mask takes it. ValueError for another task, or no mask."""
    task, tokenizer = encoder.need_task(), encoder.need_tokenizer()
    if task.name != "fill-mask" or task.head is None:
        raise ValueError(f"a lens looks through a head for masked words, and this is {task.name}: load with fill-mask")
    (reading,) = readings_of(encoder, [text])
    if not len(reading.example.place.masked):
        raise ValueError(f"nothing is masked in {text!r:.60}; write {tokenizer.token(reading.example.place.mask_id)}")
    tokens, probabilities, logits = [], [], []
    with still(encoder):
        seen = run(encoder, [reading], read=layer_names(encoder))
        for name in layer_names(encoder):
            hidden = encoder.model.final_norm(seen.points[name])
            logits.append(task(hidden, seen.packing, [reading.example]).double())
            best = logits[-1].softmax(-1).topk(min(top, logits[-1].shape[-1]))
            tokens.append(tuple(tuple(map(tokenizer.token, row)) for row in best.indices.tolist()))
            probabilities.append(best.values.cpu().numpy())
    answers = logits[-1].argmax(-1, keepdim=True)
    rank = np.stack([(each > each.gather(-1, answers)).sum(-1).cpu().numpy() for each in logits])
    return Lens(
        layers=tuple(layer_names(encoder)),
        tokens=tuple(tokens),
        probabilities=np.stack(probabilities),
        rank=rank,
        contexts=tuple(
            in_context(reading.texts[0], *reading.offsets[place].tolist()) for place in reading.example.place.masked
        ),
    )
