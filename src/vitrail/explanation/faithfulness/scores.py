"""What was measured of methods: every figure with its interval, its rows, and the random row beside it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

from vitrail.errors import FileFormatError
from vitrail.intervals import Interval, bootstrap_mean

RANDOM = "random"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One figure. more_is_better: of the measure. rows: the inputs it is the mean of.

    lead: how far it is better than the method that follows it in the order, input by input, where both were measured on
        the same ones; above 0 throughout, the order of the two is no accident of the inputs. None for the last.
    """

    method: str
    protocol: str
    measure: str
    more_is_better: bool
    values: Interval
    rows: int
    lead: Interval | None = None


@dataclass(frozen=True, kw_only=True)
class MethodScore:
    """What was measured of one method, and of random orders beside it."""

    method: str
    model: str
    measured: tuple[Measured, ...]
    random: tuple[Measured, ...]

    def __str__(self) -> str:
        """In a line: the first measure, against random."""
        if not self.measured:
            return f"not measured for {self.method}"
        own = self.measured[0]
        chance = next(each for each in self.random if (each.protocol, each.measure) == (own.protocol, own.measure))
        return f"{own.measure} {own.values} by {own.protocol}, random {chance.values.mean:.3f}, {own.rows} texts"


@dataclass(frozen=True, kw_only=True)
class Scores:
    """All that `score` measured. rows: inputs used. left_out: methods that cannot explain this model, and why."""

    model: str
    weights_sha256: str
    rows: int
    measured: tuple[Measured, ...]
    left_out: Mapping[str, str]

    def of(self, method: str) -> MethodScore | None:
        """What is known of a method; None where it was not measured."""
        own, random = (tuple(each for each in self.measured if each.method == name) for name in (method, RANDOM))
        return MethodScore(method=method, model=self.model, measured=own, random=random) if own else None

    def order(self, protocol: str, measure: str) -> list[str]:
        """The methods, the best first."""
        found = [each for each in self.measured if (each.protocol, each.measure) == (protocol, measure)]
        return [
            each.method
            for each in sorted(found, key=lambda each: -each.values.mean if each.more_is_better else each.values.mean)
        ]

    def table(self) -> str:
        """Markdown: a row for each method, a column for each measure (↑ more is better, ↓ less).

        A figure of fewer inputs than others of its protocol says of how many.
        """
        columns = list(
            dict.fromkeys((each.protocol, each.measure, "↑" if each.more_is_better else "↓") for each in self.measured)
        )
        most = {
            protocol: max(each.rows for each in self.measured if each.protocol == protocol) for protocol, *_ in columns
        }
        cells = {
            (each.method, each.protocol, each.measure): str(each.values)
            + (f", {each.rows} texts" if each.rows < most[each.protocol] else "")
            for each in self.measured
        }
        heads = [f"{protocol}: {measure} {arrow}" for protocol, measure, arrow in columns]
        lines = ["| method | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
        for method in dict.fromkeys(each.method for each in self.measured):
            found = [cells.get((method, protocol, measure), "") for protocol, measure, _ in columns]
            lines.append(f"| {method} | " + " | ".join(found) + " |")
        return "\n".join(lines)

    @classmethod
    def read(cls, path: str | Path) -> "Scores":
        """What `json_lines` wrote. FileFormatError for anything else."""
        try:
            lines = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
            measured = tuple(
                Measured(
                    **{name: line[name] for name in Measured.__dataclass_fields__ if name in line}
                    | {"values": Interval(**line["values"])}
                    | {"lead": Interval(**line["lead"]) if line.get("lead") else None}
                )
                for line in lines
            )
            model, digest = lines[0]["model"], lines[0]["weights_sha256"]
        except (ValueError, LookupError, TypeError) as error:
            raise FileFormatError(
                f"{path} holds no scores of explanations ({error}); write Scores.json_lines() to it"
            ) from error
        rows = max(each.rows for each in measured)
        return cls(model=model, weights_sha256=digest, rows=rows, measured=measured, left_out={})

    def json_lines(self) -> str:
        about = {"model": self.model, "weights_sha256": self.weights_sha256}
        return "".join(json.dumps(about | asdict(each), ensure_ascii=False) + "\n" for each in self.measured)


def with_leads(measured: Sequence[Measured], found: Mapping[str, Mapping[int, float]], *, seed: int) -> list[Measured]:
    """The figures of one measure, each with its lead over the next in the order.

    found: of each method, the value of each input.
    """
    sign = 1 if measured[0].more_is_better else -1
    order = sorted(measured, key=lambda each: -sign * each.values.mean)
    leads: dict[str, Interval] = {}
    for better, worse in pairwise(order):
        one, other = found[better.method], found[worse.method]
        if one.keys() == other.keys():
            leads[better.method] = bootstrap_mean([sign * (one[row] - other[row]) for row in one], seed=seed)
    return [replace(each, lead=leads.get(each.method)) for each in measured]
