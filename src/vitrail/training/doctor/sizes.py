"""How long texts are, in characters, in tokens as estimated, or in the tokens of a tokenizer."""

import re
from collections.abc import Iterator

from vitrail.training.doctor.characters import where
from vitrail.training.doctor.finding import Finding, finding
from vitrail.training.doctor.view import View

USUAL_MOST_TOKENS = 512
CHARACTERS_PER_TOKEN = 4.5
"""Of English in 30,000 word pieces, spaces counted; in scripts without spaces a character is a token."""
HUGE = 100_000
UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
AT_ONCE = 1000


def huge_text(view: View) -> Iterator[Finding]:
    message = f"{{}} with a text of more than {HUGE:,} characters"
    remedy = "Is a quote never closed, or a whole document in one row? Part it, or read the file without quoting."
    yield from where(view, "huge-text", message, remedy, lambda text: len(text) > HUGE)


def long_text(view: View) -> Iterator[Finding]:
    """An estimate, so a note; the contexts of questions are read in windows, and may be long."""
    if view.tokenizer is not None or "context" in view.of_kind("text"):
        return
    message = f"{{}} with a text of more than about {USUAL_MOST_TOKENS} tokens, where many models cut"
    remedy = "Count with the model's own tokenizer (--tokenizer), or choose a model that reads longer texts."
    yield from where(view, "long-text", message, remedy, lambda text: estimated(text) > USUAL_MOST_TOKENS, "note")


def estimated(text: str) -> float:
    if len(text) <= USUAL_MOST_TOKENS:  # no text has more tokens than characters, special ones apart
        return 0.0
    unspaced = 0 if text.isascii() else len(UNSPACED.findall(text))
    return unspaced + (len(text) - unspaced) / CHARACTERS_PER_TOKEN


def cut_text(view: View) -> Iterator[Finding]:
    """With a tokenizer: texts of which the model will not see the end."""
    if view.tokenizer is None or view.max_length is None or "context" in view.of_kind("text"):
        return
    remedy = "Raise max_length as far as the model goes, part the texts, or put what decides at their beginning."
    for split in view.rows:
        entries = list(view.texts(split))
        hits: dict[int, str] = {}
        for start in range(0, len(entries), AT_ONCE):
            some = entries[start : start + AT_ONCE]
            batch = view.tokenizer.encode([text for _, _, text in some], max_length=view.max_length)
            for (row, role, _), tokens in zip(some, batch.input_tokens.tolist(), strict=True):
                if tokens > view.max_length:
                    hits.setdefault(row, f"{role} has {tokens:,} tokens")
        message = f"{{}} with a text of more than {view.max_length:,} tokens, which will be cut"
        yield from finding("cut-text", "warning", split, message, remedy, list(hits.items()))
