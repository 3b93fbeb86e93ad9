"""The learning rate as a function of the step alone, so nothing of it needs to be saved.

warm-up: from 0 up to 1 in a straight line. Then

constant   1
linear     down to 0 in a straight line
cosine     (1 + cos π t) / 2, t from 0 to 1
trapezoid  1, and in the last part of the run a straight line down to 0 ([Zhai 2021], "cooldown")

[Zhai 2021]: https://arxiv.org/abs/2106.04560
"""

import math
from collections.abc import Callable

# (steps done, steps in all, steps of the cooldown) after warm-up -> factor
_SHAPES: dict[str, Callable[[int, int, int], float]] = {
    "constant": lambda done, total, cooldown: 1.0,
    "linear": lambda done, total, cooldown: (total - done) / max(total, 1),
    "cosine": lambda done, total, cooldown: (1 + math.cos(math.pi * done / max(total, 1))) / 2,
    "trapezoid": lambda done, total, cooldown: min(1.0, (total - done) / max(cooldown, 1)),
}
SCHEDULES = tuple(_SHAPES)


def learning_rate_factor(step: int, *, total: int, schedule: str, warmup: int, cooldown: int = 0) -> float:
    """What the learning rate of step `step` (from 0) is multiplied by; `warmup` and `cooldown` in steps."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return max(0.0, _SHAPES[schedule](step - warmup, max(total - warmup, 0), cooldown))


def as_steps(amount: float, total: int) -> int:
    """Below 1 a fraction of the run, else a number of steps."""
    return math.ceil(amount * total) if amount < 1 else int(amount)
