"""Limits of event times: what the server lets through is never too far off for the pipeline."""

from __future__ import annotations

import pytest

from adfeast.contract.event_rules import AGE, AHEAD, AHEAD_MS, Rules, pipeline_rules, server_rules
from adfeast.settings import Settings

NOW, DAY = 1_732_460_000_000, 86_400_000


def broken(rules: Rules, ms: int, at_ms: int = NOW) -> str | None:
    found = rules.out_of_time(ms, at_ms, "the clock")
    return found[0] if found else None


def test_an_event_of_the_future_or_of_an_older_past_is_refused_by_name() -> None:
    rules = pipeline_rules(Settings())
    assert rules.max_age_ms == 7 * DAY
    assert broken(rules, NOW + AHEAD_MS) is None
    assert broken(rules, NOW + AHEAD_MS + 1) == AHEAD
    assert broken(rules, NOW - 7 * DAY) is None
    assert broken(rules, NOW - 7 * DAY - 1) == AGE


def test_a_replay_of_history_has_no_age_limit() -> None:
    settings = Settings(event_max_age_s=None)
    for rules in (pipeline_rules(settings), server_rules(settings)):
        assert broken(rules, 1) is None
        assert broken(rules, NOW + DAY) == AHEAD


@pytest.mark.parametrize("apart_ms", [-30_000, 0, 30_000])
def test_what_the_server_lets_through_the_pipeline_takes_though_their_clocks_differ(apart_ms: int) -> None:
    server, pipeline = server_rules(Settings()), pipeline_rules(Settings())
    assert server.max_age_ms is not None
    for ms in (NOW + server.ahead_ms, NOW - server.max_age_ms):
        assert broken(server, ms) is None
        assert broken(pipeline, ms, NOW + apart_ms) is None
    assert broken(server, NOW + server.ahead_ms + 1) == AHEAD
    assert broken(server, NOW - server.max_age_ms - 1) == AGE


def test_a_refusal_says_what_is_allowed_and_what_to_do() -> None:
    _, problem = server_rules(Settings()).out_of_time(NOW + 31_000, NOW, "this server's clock") or ("", "")
    assert problem == (
        "2024-11-24T14:53:51.000+00:00 (1732460031000) lies 31 s ahead of this server's clock, 30 s are allowed; "
        "check the clock of the sender"
    )
