"""The hash of ids is one function in every engine."""

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st

from adfeast.contract.ids import DUCKDB_HASH_ID, hash_id


def test_a_known_value():
    assert hash_id("user_123") == 569532778279335582


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1, max_size=50))
def test_duckdb_agrees(texts):
    with duckdb.connect() as db:
        db.execute(DUCKDB_HASH_ID)
        found = db.execute(
            "SELECT list(hash_id(t) ORDER BY i) FROM (SELECT unnest(?) t, unnest(range(?)) i)", [texts, len(texts)]
        )
        assert found.fetchone()[0] == [hash_id(t) for t in texts]
