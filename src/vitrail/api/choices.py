"""The arguments of embedding, checked and made definite before any work is done."""

from collections.abc import Iterable, Mapping
from typing import Any

from vitrail.errors import InputError

# The names under which models keep their prompt for each role; the first that a model has is used.
ROLE_PROMPTS = {"query": ("query",), "document": ("document", "passage", "corpus")}


def checked_texts(texts: Any) -> list[str]:
    """A sequence of texts (list, tuple, array, Series) as a list of str. What the texts hold is checked later."""
    if isinstance(texts, str | bytes):
        raise TypeError("give a sequence of texts here; a single text is embed's")
    if isinstance(texts, Mapping) or not isinstance(texts, Iterable):
        raise TypeError(f"texts must be a str or a sequence of str, got {type(texts).__name__}")
    texts = list(texts)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"a text must be a str, this is {type(text).__name__}", row=row)
    return texts


def chosen_prompt(prompt: str | None, prompts: Mapping[str, str], default: str | None) -> str:
    """The prompt's text: that of the model's prompt of that name, else the argument itself. "" for none."""
    if prompt is None:
        return prompts[default] if default is not None else ""
    if not isinstance(prompt, str):
        raise TypeError(f"prompt must be a str, got {type(prompt).__name__}")
    if prompt in prompts:
        return prompts[prompt]
    if prompt.isidentifier():
        known = f"its prompts are {', '.join(prompts)}" if prompts else "it has no prompts"
        raise ValueError(
            f"this model has no prompt named {prompt!r}; {known}. To put the word itself before every text, "
            f"end it with a space or a colon: {prompt + ': '!r}"
        )
    return prompt


def role_prompt(prompts: Mapping[str, str], role: str) -> str | None:
    """The name of the model's prompt for a role ("query" or "document"); None when it has none."""
    return next((name for name in ROLE_PROMPTS[role] if name in prompts), None)


def chosen_dimensions(dimensions: int | None, most: int) -> int | None:
    if dimensions is None:
        return None
    if isinstance(dimensions, bool) or not isinstance(dimensions, int):
        raise TypeError(f"dimensions must be a whole number, got {dimensions!r}")
    if not 1 <= dimensions <= most:
        raise ValueError(f"dimensions must be from 1 to {most}, got {dimensions}")
    return dimensions


def chosen_batch_tokens(batch_tokens: int | None, usual: int) -> int:
    if batch_tokens is None:
        return usual
    if isinstance(batch_tokens, bool) or not isinstance(batch_tokens, int) or batch_tokens < 1:
        raise ValueError(f"batch_tokens must be a whole number of at least 1, got {batch_tokens!r}")
    return batch_tokens
