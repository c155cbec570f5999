"""Histories of one impression as the world makes them, and what becomes of its label; seeded.

    python -m tests.parity.label_histories

writes them, with what the naive twin says, to where the Java tests read them: a line is the rules, the arrivals (`i` an
impression, `c` a click, `w` a watermark) and what is written at each.
"""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from functools import cache

from adfeast.contract.label_states import Label, LabelRules, Refused
from adfeast.settings import ROOT
from tests.parity.naive_labels import Seen, stream

FILE = ROOT / "streaming" / "java" / "src" / "test" / "resources" / "label_histories.tsv.gz"
HISTORIES, START = 5_000, 1_000
RULES = (LabelRules(60, 20, 4), LabelRules(30, 0, 1), LabelRules(50, 7, 3), LabelRules(41, 100, 4))
NAME = "imp"


@dataclass(frozen=True)
class History:
    """What arrives of one impression, in this order.

    Attributes:
        timely: no event comes behind the watermark.
    """

    rules: LabelRules
    arrivals: tuple[Seen | int, ...]
    timely: bool

    @property
    def events(self) -> list[Seen]:
        """Without the watermarks."""
        return [a for a in self.arrivals if isinstance(a, Seen)]


@cache
def histories(count: int = HISTORIES, seed: int = 5) -> tuple[History, ...]:
    """Generated ones; in two of three every event is on time, and the same when it is sent again."""
    dice = random.Random(seed)
    return tuple(_history(dice, n) for n in range(count))


def _history(dice: random.Random, n: int) -> History:
    rules = dice.choice(RULES)
    timely = dice.random() < 2 / 3
    events = _events(dice, rules, crowd=n % 500 == 499, moved=not timely)
    order = list(events)
    dice.shuffle(order)
    if dice.random() < 0.6:  # as they come from Kafka: nearly in order
        order.sort(key=lambda e: e.ms + dice.randrange(30))
    arrivals: list[Seen | int] = []
    watermark = 0
    for i, event in enumerate(order):
        # On time is an event that lies behind no watermark: before each of those that are still to come.
        most = min(e.ms for e in order[i:]) - 1 if timely else event.ms + dice.randrange(-50, 400)
        if most > watermark and dice.random() < 0.6:
            watermark = most if timely and dice.random() < 0.5 else dice.randrange(max(watermark, most - 80), most + 1)
            arrivals.append(watermark)
        arrivals.append(event)
    last = max([watermark, *(e.ms for e in events)])
    ends = sorted(dice.randrange(last, last + rules.click_kept_ms) for _ in range(dice.randrange(3)))
    return History(rules, (*arrivals, *ends, last + rules.click_kept_ms + rules.impression_kept_ms), timely)


def _events(dice: random.Random, rules: LabelRules, *, crowd: bool, moved: bool) -> list[Seen]:
    shown = START + dice.randrange(50)
    close = (0, 1, rules.window_ms - 1, rules.window_ms, rules.window_ms + 1)
    edges = [*close, rules.impression_kept_ms, rules.impression_kept_ms + 1, -1, -rules.grace_ms, -rules.grace_ms - 1]
    events = [Seen(shown)] if dice.random() < 0.92 else []
    for n in range(70 if crowd else dice.choice((0, 0, 1, 1, 1, 2, 3))):
        spread = dice.randrange(-2 * rules.grace_ms - 5, 2 * rules.window_ms + 2 * rules.grace_ms)
        delay = dice.choice(edges) if dice.random() < 0.4 else spread
        events.append(Seen(shown + delay, f"c{n}"))
    for event in list(events):
        while dice.random() < 0.15:  # sent again
            later = dice.randrange(1, 9) if moved and dice.random() < 0.3 else 0
            events.append(Seen(event.ms + later, event.click_id))
    return events


def text() -> str:
    """The file."""
    return "".join(f"{line}\n" for line in map(_line, histories()))


def _line(history: History) -> str:
    written = stream(NAME, history.arrivals, history.rules)
    outputs = ";".join(" ".join(map(row, rows)) for rows in written)
    return "\t".join([history.rules.text, " ".join(map(_arrival, history.arrivals)), outputs])


def row(written: Label | Refused) -> str:
    """What is written, as the file has it: without the impression's id."""
    return ",".join("-" if value is None else str(value) for value in astuple(written)[1:])


def _arrival(arrival: Seen | int) -> str:
    if isinstance(arrival, int):
        return f"w{arrival}"
    return f"i{arrival.ms}" if arrival.click_id is None else f"{arrival.click_id}@{arrival.ms}"


def lines() -> Iterator[str]:
    """What the file holds."""
    with gzip.open(FILE, "rt") as file:
        yield from file


def main() -> None:
    """Writes the file, in the same bytes every time."""
    FILE.write_bytes(gzip.compress(text().encode(), mtime=0))


if __name__ == "__main__":
    main()
