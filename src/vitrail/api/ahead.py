"""Tokenise some texts while the device computes those before them."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from vitrail.errors import InputError
from vitrail.tokenization import TokenBatch

# Of English text; how many a token really has only changes the size of a piece.
_CHARACTERS_PER_TOKEN = 4


def pieces_of(texts: Sequence[str], tokens: int) -> Iterator[Sequence[str]]:
    """The texts in their order, about so many tokens at a time; no texts are one piece."""
    start, characters = 0, 0
    for stop, text in enumerate(texts):
        if characters >= tokens * _CHARACTERS_PER_TOKEN:
            yield texts[start:stop]
            start, characters = stop, 0
        characters += len(text)
    yield texts[start:]


def tokenized_ahead(
    tokenize: Callable[[Sequence[str]], TokenBatch], pieces: Iterator[Sequence[str]]
) -> Iterator[TokenBatch]:
    """`tokenize` of each piece, the next one begun in another thread before this one is given.

    An InputError names the row among all texts.
    """
    piece, following = next(pieces), next(pieces, None)
    if following is None:
        yield tokenize(piece)
        return
    row = 0
    with ThreadPoolExecutor(1) as thread:
        begun = thread.submit(tokenize, piece)
        while True:
            try:
                batch = begun.result()
            except InputError as error:
                raise at_row(error, row + (error.row or 0)) from None
            if following is None:
                yield batch
                return
            begun, row, piece = thread.submit(tokenize, following), row + len(piece), following
            following = next(pieces, None)
            yield batch


def at_row(error: InputError, row: int) -> InputError:
    """The same error, of another row."""
    return type(error)(str(error).removeprefix(f"row {error.row}: "), row=row)
