"""What Redis holds of every stream view, held against the naive twin."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from adfeast.clock import to_ms
from adfeast.contract.events import CLICKS, EVENT_TIME, IMPRESSIONS
from demo.report.judge import online
from demo.run import midnight
from demo.traffic.open_bandit import Auction
from streaming import marks, progress
from streaming.plan import make_plan
from tests.e2e.conftest import DAYS, Loop
from tests.parity.naive import value


def assert_windows(loop: Loop, auctions: Sequence[Auction]) -> int:
    """Moves event time to the last event of `auctions`, all that was ever sent; compares every value of every key.

    Returns:
        how many values were not zero.
    """
    events = {
        IMPRESSIONS: [a.impression for a in auctions],
        CLICKS: [a.click for a in auctions if a.click is not None],
    }
    # The story moved event time to the midnight after its last day.
    end = max(to_ms(midnight(DAYS.replayed[1], 1)), *(e[EVENT_TIME] for rows in events.values() for e in rows))
    marks.advance(loop.settings, make_plan(loop.definitions, loop.settings), end)
    progress.wait_features(loop.settings)
    alive = 0
    for view in (v for v in loop.definitions.views.values() if v.kind == "stream"):
        by_key: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for event in events[view.topic]:
            by_key[event[view.join_key]].append(event)
        keys = sorted(by_key)
        found = online(loop.store, [view], keys)
        for aggregation in view.aggregations:
            expected = [value(aggregation, by_key[key], end) for key in keys]
            wrong = {
                key: (got, wanted)
                for key, got, wanted in zip(keys, found[aggregation.feature], expected, strict=True)
                if got != wanted
            }
            assert not wrong, (
                f"{aggregation.feature}: {len(wrong)} keys differ (found, expected): {list(wrong.items())[:5]}"
            )
            alive += sum(v > 0 for v in expected)
    return alive
