"""The hash of ids is one function in every engine."""

import hashlib
import tracemalloc

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st

from adfeast.contract.ids import DUCKDB_HASH_ID, hash_id


def test_a_known_value():
    assert hash_id("user_123") == 569532778279335582


def test_long_texts_are_hashed_and_not_kept():
    tracemalloc.start()
    for n in range(100):
        text = str(n) * 500_000
        assert hash_id(text) == int(hashlib.md5(text.encode()).hexdigest()[:15], 16)
    assert tracemalloc.get_traced_memory()[0] < 3_000_000
    tracemalloc.stop()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1, max_size=50))
def test_duckdb_agrees(texts):
    with duckdb.connect() as db:
        db.execute(DUCKDB_HASH_ID)
        found = db.execute(
            "SELECT list(hash_id(t) ORDER BY i) FROM (SELECT unnest(?) t, unnest(range(?)) i)", [texts, len(texts)]
        )
        assert found.fetchone()[0] == [hash_id(t) for t in texts]
