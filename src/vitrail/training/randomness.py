"""Random numbers that belong to a place in the run, not to how the run got there.

Dropout of a piece is drawn from (seed, step, piece) and what an example draws from (seed, epoch, row). So a run that is
resumed draws what it would have drawn, and the second pass of gradient caching drops what the first one dropped.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

_DROPOUT, _DRAW = 1, 2


def seed_dropout(seed: int, step: int, piece: int) -> None:
    """Set torch's generators to where this piece of this step begins."""
    state = np.random.SeedSequence((seed, _DROPOUT, step, piece)).generate_state(1, np.uint64)
    torch.manual_seed(int(state[0] >> np.uint64(1)))


def draw_generator(seed: int, epoch: int, row: int) -> np.random.Generator:
    """For what an example draws anew each epoch, such as the tokens that are masked."""
    return np.random.default_rng((seed, _DRAW, epoch, row))


@contextmanager
def own_randomness() -> Iterator[None]:
    """Leave torch's generators as they were found."""
    with torch.random.fork_rng():
        yield
