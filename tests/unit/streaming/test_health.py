"""What is said of a view follows from what was counted."""

from __future__ import annotations

from typing import Any

from adfeast.settings import Settings
from streaming.health import ViewHealth, readers_behind, view_topics

PLAN: dict[str, Any] = {
    "jobs": {"archive": {"name": "p-archive"}, "features": {"name": "p-features", "view": "v"}},
    "views": [{"name": "v", "topic": "seen", "output": "features.v", "late": "late.v"}],
}


def health(**changes: Any) -> ViewHealth:
    values: dict[str, Any] = {"view": "v", "age_s": 6.0, "stale": False, "fresh_within_s": 15.0}
    values |= {"events": 1000, "late": 0, "dead": 0, "job_behind": 0, "writer_behind": 0}
    return ViewHealth(**(values | changes))


def test_more_than_a_hundredth_late_or_dead_is_too_much() -> None:
    assert not health(late=5, dead=5).refused_too_often
    assert health(late=6, dead=5).refused_too_often
    assert health(events=0, late=1).refused_too_often
    assert not health(events=0).refused_too_often


def test_one_line_says_all_of_it() -> None:
    assert health(late=10, dead=1, job_behind=7, writer_behind=8).text == (
        "watermark 6.0 s old (promised 15 s), 1.0% late and 0.1% dead of 1000 in the last minute, 7 and 8 behind"
    )
    assert health(age_s=None).text.startswith("no watermark (promised 15 s)")


def test_each_view_has_its_own_readers() -> None:
    [topics] = view_topics(PLAN)
    assert topics.all == ("seen", "features.v", "late.v", "seen.dead", "features.v.dead")
    behind = {"p-features": {"seen": 3}, "p-archive": {"seen": 9}, "p-redis-writer": {"features.v": 4}}
    assert readers_behind(PLAN, Settings(project="p"), topics, behind) == (3, 4)
    assert readers_behind(PLAN, Settings(project="p"), topics, {}) == (0, 0)


def test_a_job_of_another_view_is_not_its_reader() -> None:
    jobs = {f"features-{v}": {"name": f"p-features-{v}", "view": v} for v in ("v", "w")}
    [topics] = view_topics(PLAN)
    behind = {"p-features-v@abc.1": {"seen": 3}, "p-features-v@abd.2": {"seen": 5}, "p-features-w@x": {"seen": 9}}
    assert readers_behind({**PLAN, "jobs": jobs}, Settings(project="p"), topics, behind) == (5, 0)
