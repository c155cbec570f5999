"""What became of auctions while something was wrong: a row of a table a fault, and the promises that it breaks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from adfeast.contract.rungs import Rung
from benchmarks.harness.auctions import Asked

WHOLE_FOR_S, STEP_S = 2.0, 0.25  # so long answers must be whole to count as healed, looked at in such steps
HEAD = ("fault", "sent", "in time", "p99 ms", *(r.text for r in Rung), "lost", "healed s")


@dataclass(frozen=True)
class Promise:
    """What must be true of a row; a share of what was sent is taken as so many whole auctions.

    Attributes:
        within_ms: in which an answer is in time.
        in_time: share of what was sent that must be answered so; None: nothing is promised.
        lost: share of what was sent that may have no answer at all.
        healed_s: after so long every answer must be whole again.
    """

    within_ms: float = 50.0
    in_time: float | None = 0.999
    lost: float = 0.001
    healed_s: float = 60.0


@dataclass(frozen=True)
class Row:
    """One fault.

    Attributes:
        sent: auctions from its beginning until all was well again.
        in_time: how many of them were answered so.
        by_rung: answers by the rung of most of their candidates.
        lost: those without an answer, by reason.
        healed_s: from its end, or from a kill, until every answer was whole again; None if that was not seen.
        late_ms: how much later than due they were sent, the 99th percentile: not the servers' fault.
    """

    fault: str
    sent: int
    in_time: int
    p99_ms: float
    by_rung: Mapping[Rung, int]
    healed_s: float | None
    late_ms: float
    lost: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, fault: str, asked: Sequence[Asked], within_ms: float, healed_s: float | None) -> Row:
        """Of the auctions that were due in its time."""
        answered = [a for a in asked if not a.lost]
        return cls(
            fault=fault,
            sent=len(asked),
            in_time=sum(a.ms <= within_ms for a in answered),
            p99_ms=_p99([a.ms for a in asked]),
            by_rung=Counter(Rung(a.rung) for a in answered),
            healed_s=healed_s,
            late_ms=_p99([a.late_ms for a in asked]),
            lost=Counter(a.lost.split(":")[0] for a in asked if a.lost),
        )

    def broken(self, promise: Promise) -> list[str]:
        """One text a promise that it breaks."""
        problems, sent, lost = [], max(self.sent, 1), sum(self.lost.values())
        if not self.sent:
            problems.append("nobody asked")
        if promise.in_time is not None and self.in_time < math.floor(promise.in_time * self.sent):
            problems.append(
                f"{self.in_time / sent:.2%} answered within {promise.within_ms:.0f} ms, {promise.in_time:.1%} promised"
            )
        if lost > math.ceil(promise.lost * self.sent):
            problems.append(f"{lost} of {self.sent} lost: {dict(self.lost)}")
        if self.healed_s is None:
            problems.append("not healed")
        elif self.healed_s > promise.healed_s:
            problems.append(f"healed after {self.healed_s:.1f} s, {promise.healed_s:.0f} s promised")
        return [f"{self.fault}: {problem}" for problem in problems]

    def cells(self) -> tuple[str, ...]:
        """As people read it, in the order of `HEAD`."""
        sent = max(self.sent, 1)
        rungs = (f"{self.by_rung[r] / sent:.1%}" if self.by_rung.get(r) else "" for r in Rung)
        healed = "never" if self.healed_s is None else f"{self.healed_s:.1f}"
        lost = sum(self.lost.values())
        return (
            *(self.fault, str(self.sent), f"{self.in_time / sent:.2%}", f"{self.p99_ms:.1f}"),
            *(*rungs, str(lost or ""), healed),
        )


def healed_after(asked: Sequence[Asked], from_s: float, now_s: float, whole: float) -> float | None:
    """How long it took from a moment until such a share of all later answers was whole; None: it is not yet so."""
    since, begin = [a for a in asked if a.due_s >= from_s], now_s - WHOLE_FOR_S
    found_s: float | None = None
    while begin > from_s - STEP_S:
        found = [a for a in since if begin <= a.due_s < begin + WHOLE_FOR_S]
        if not found or sum(a.whole for a in found) < whole * len(found):
            break
        found_s = max(0.0, begin - from_s)
        begin -= STEP_S
    return found_s


def table(rows: Sequence[Row]) -> str:
    """All of them, in columns."""
    lines = [HEAD, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = []
    for line in lines:
        first, *others = (cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        shown.append("  ".join([first.strip().ljust(widths[0]), *others]))
    return "\n".join(shown)


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[int(0.99 * (len(values) - 1))] if values else 0.0
