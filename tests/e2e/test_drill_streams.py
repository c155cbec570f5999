"""What goes wrong around streams, in the short form: `make drill-streams` plays all of it."""

from __future__ import annotations

from pathlib import Path

from drills.streams import play


def test_whatever_goes_wrong_is_marked_and_heals_and_nothing_is_lost(tmp_path: Path) -> None:
    """`play` raises with the broken promises: stale values that are not marked, a death that is not healed, a loss."""
    found = play(tmp_path, short=True, say=print)
    assert found.figures["Predicts failed"] == 0
    assert found.figures["Predicts answered"] > 1000
    assert found.figures["online values compared"] > 300
