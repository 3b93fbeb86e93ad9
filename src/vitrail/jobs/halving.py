"""A text that makes the encoder fail costs its own row and no other.

When a call fails its texts are halved until the ones at fault stand alone: they get the error, the others their result.
A batch too large for the memory gets through by the same way.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from vitrail.errors import InputError, NonFiniteOutput
from vitrail.files.rows import Row

Item = TypeVar("Item")
Result = TypeVar("Result")


def encode_rows(
    rows: Sequence[Row], encode: Callable[[list[str]], list[Result]]
) -> tuple[list[Result | None], list[str | None]]:
    """(results, errors), both in the order of `rows`; exactly one of the two is None for each row."""
    errors = [row.error for row in rows]
    results: list[Result | None] = [None] * len(rows)
    usable = [(index, row.text) for index, row in enumerate(rows) if row.text is not None]
    outcomes = encode_or_halve([text for _, text in usable], encode)
    for (index, _), outcome in zip(usable, outcomes, strict=True):
        if isinstance(outcome, BaseException):
            errors[index] = describe(outcome)
        else:
            results[index] = outcome
    return results, errors


def encode_or_halve(texts: list[Item], encode: Callable[[list[Item]], list[Result]]) -> list[Result | BaseException]:
    """What `encode` gives for each text (or row), or the error it alone makes."""
    if not texts:
        return []
    try:
        return [*encode(texts)]
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # a panic of the tokenizer's Rust code is no Exception
        if len(texts) == 1:
            return [error]
    middle = len(texts) // 2
    return [*encode_or_halve(texts[:middle], encode), *encode_or_halve(texts[middle:], encode)]


def describe(error: BaseException) -> str:
    """The error of one text. The row in its message would be that of the call, not of the input."""
    if isinstance(error, NonFiniteOutput):
        return "NonFiniteOutput: the model gave NaN or infinity for this text"
    message = str(error) or "no message"
    if isinstance(error, InputError) and error.row is not None:
        message = message.removeprefix(f"row {error.row}: ")
    return f"{type(error).__name__}: {message}"
