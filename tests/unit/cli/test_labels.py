"""What the audit says of two sides."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adfeast.contract.label_states import LATE_POSITIVE, Label, LabelRules
from cli.exit_codes import DONE, FAILED, WAITS
from cli.labels import judge
from streaming.label_rows import StreamLabel, Written, decode_label
from tests.parity.naive_labels import Seen, label_of
from training.data.label_audit import BatchLabel

RULES = LabelRules(100, 20, 4)
CLOSED = 1_120


def final() -> Label:
    found = label_of("i", [Seen(1_000), Seen(1_050, "c")], RULES)
    assert found is not None
    return found


def stream(*rows: Label) -> StreamLabel:
    return StreamLabel(tuple(Written(0, row) for row in rows), ())


def batch(label: Label | None, watermark_ms: int | None = CLOSED) -> BatchLabel:
    return BatchLabel((), watermark_ms, label, ())


def test_the_last_row_of_the_stream_is_held_against_the_batch_row() -> None:
    provisional = label_of("i", [Seen(1_000)], RULES, 1_000)
    assert provisional is not None
    assert judge(stream(provisional, final()), batch(final()), RULES) == ("stream and batch agree", DONE)
    assert judge(stream(final(), provisional), batch(final()), RULES)[1] == FAILED
    assert judge(stream(), batch(final()), RULES)[1] == FAILED
    assert judge(stream(replace(final(), state=LATE_POSITIVE, label=0)), batch(final()), RULES)[1] == FAILED


def test_other_counts_are_told_and_are_no_difference() -> None:
    said, code = judge(stream(final()), batch(replace(final(), duplicate_clicks=1)), RULES)
    assert "not all events" in said
    assert code == DONE


@pytest.mark.parametrize("watermark", [None, CLOSED - 1])
def test_nothing_is_said_before_the_archive_holds_what_can_still_come(watermark: int | None) -> None:
    assert judge(stream(final()), batch(final(), watermark), RULES)[1] == WAITS


def test_an_impression_that_nobody_has_is_no_difference() -> None:
    assert judge(stream(), batch(None), RULES)[1] == DONE


def test_a_column_that_a_later_job_writes_is_left_out() -> None:
    row = {name: getattr(final(), name) for name in Label.__dataclass_fields__}
    assert decode_label(row | {"shade": "blue"}) == final()
