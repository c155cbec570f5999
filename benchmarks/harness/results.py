"""Measured blocks, their medians and the ratios between what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

CLIENT = "load client"


@dataclass(frozen=True)
class Result:
    """One measured block, or the medians of several.

    Attributes:
        subject: what was measured.
        clients: how many asked at once, each waiting for its answer before it asks again.
        requests: answered.
        p50_ms, p99_ms: latency as the client saw it.
        cpu_ms: CPU milliseconds a request, by part; `CLIENT` is the load itself.
        blocks: how many blocks this is the median of.
    """

    subject: str
    clients: int
    requests: int
    rate: float
    p50_ms: float
    p99_ms: float
    cpu_ms: dict[str, float] = field(default_factory=dict)
    blocks: int = 1

    @property
    def served_ms(self) -> float:
        """CPU of everything but the load client."""
        return sum(ms for part, ms in self.cpu_ms.items() if part != CLIENT)

    @property
    def total_ms(self) -> float:
        """CPU of everything."""
        return sum(self.cpu_ms.values())


def medians(blocks: Iterable[Result]) -> list[Result]:
    """One result for each subject and number of clients, in order of appearance: every figure is the median of its
    blocks, `requests` their sum."""
    groups: dict[tuple[str, int], list[Result]] = {}
    for block in blocks:
        groups.setdefault((block.subject, block.clients), []).append(block)
    return [_median(group) for group in groups.values()]


def _median(group: Sequence[Result]) -> Result:
    parts = list(dict.fromkeys(part for block in group for part in block.cpu_ms))
    return Result(
        subject=group[0].subject,
        clients=group[0].clients,
        requests=sum(b.requests for b in group),
        rate=median(b.rate for b in group),
        p50_ms=median(b.p50_ms for b in group),
        p99_ms=median(b.p99_ms for b in group),
        cpu_ms={part: median(b.cpu_ms.get(part, 0.0) for b in group) for part in parts},
        blocks=len(group),
    )


@dataclass(frozen=True)
class Ratios:
    """How many times more (above 1) or less the other side costs than ours, at one number of clients."""

    other: str
    clients: int
    cpu: float
    cpu_with_client: float
    p50: float
    rate: float


def ratios(results: Sequence[Result], ours: str) -> list[Ratios]:
    """Every other subject against `ours`, where both were measured with the same number of clients."""
    own = {r.clients: r for r in results if r.subject == ours}
    return [
        Ratios(
            other=r.subject,
            clients=r.clients,
            cpu=r.served_ms / own[r.clients].served_ms,
            cpu_with_client=r.total_ms / own[r.clients].total_ms,
            p50=r.p50_ms / own[r.clients].p50_ms,
            rate=own[r.clients].rate / r.rate,
        )
        for r in results
        if r.subject != ours and r.clients in own
    ]


def verdict(found: Sequence[Ratios], peer: str, variant: str, target: float) -> str:
    """Whether the peer's CPU is at least `target` times ours, one sentence a number of clients; and times that of our
    own `variant`, which is said but not judged."""
    lines = []
    for r in (r for r in found if r.other == peer):
        own = next((v for v in found if (v.other, v.clients) == (variant, r.clients)), None)
        aside = f"; {r.cpu / own.cpu:.1f} times {variant!r}" if own else ""
        word = "met" if r.cpu >= target else "NOT met"
        lines.append(
            f"{r.clients} client(s), target {word}: {peer!r} uses {r.cpu:.1f} times our CPU "
            f"without the load client (wanted {target:.0f}), {r.cpu_with_client:.1f} times with it{aside}"
        )
    return "\n".join(lines)
