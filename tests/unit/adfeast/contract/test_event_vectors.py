"""What the Python codec and the Java decoder say of the same messages; EventVectorsTest is the other half."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.parity.event_vectors import EVENT, FILE, MARK, cases, judged, row, text


@pytest.mark.parametrize("case", range(2))
def test_the_codec_says_of_each_message_what_the_rules_say(case: int) -> None:
    codec, _, vectors = cases()[case]
    for v in vectors:
        verdict, found = judged(codec, v.message)
        assert verdict == v.verdict, v
        if verdict == EVENT:
            assert row(found) == row(v.row)
        else:
            assert found == v.row


def test_every_rule_of_bytes_is_broken_and_kept() -> None:
    seen = Counter(v.verdict for _, _, vectors in cases() for v in vectors)
    rules = {"frame", "schema", "record", "range", "finite", "text", "id", "time", "ahead", "age"}
    assert seen.keys() == {EVENT, MARK, *rules}


def test_the_messages_of_the_java_tests_are_these() -> None:
    assert FILE.read_text() == text(), "run: python -m tests.parity.event_vectors"
    assert FILE.stat().st_size < 200_000
