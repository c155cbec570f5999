"""What was published is known by the ledger, and its ads by the folder of the newest interval."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from adfeast.clock import ManualClock
from adfeast.contract.definitions import Definitions
from adfeast.lake import interval_folder
from adfeast.ledger import Ledger
from adfeast.settings import Settings
from serving.ads.published import Publications

END = datetime(2019, 11, 25, tzinfo=UTC)


def test_a_run_that_is_done_is_a_publication_of_the_ads_in_its_folder(definitions: Definitions, tmp_path: Path) -> None:
    clock = ManualClock(1_000)
    settings = Settings(ledger_url=f"sqlite:///{tmp_path}/ledger.db")
    tables = {name: replace(view, table=f"{tmp_path}/{name}") for name, view in definitions.views.items()}
    definitions = replace(definitions, views=tables)
    publications, view = Publications(settings, clock), tables["a_old"]

    def make(end: datetime, *ads: str) -> None:
        with Ledger(settings, clock).claim("job", view.name, view.digest, end - timedelta(days=1), end, again=True):
            folder = Path(interval_folder(view.table, end))
            folder.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table({view.join_key: list(ads), "a_score": [1.0] * len(ads)}), folder / "part.parquet")
            assert end not in [run[2] for run in publications.look(definitions)]  # one at work is no publication
        clock.advance(1_000)

    before = publications.look(definitions)
    assert (before, list(publications.ads(definitions))) == (frozenset(), [])
    make(END, "a", "b")
    assert publications.look(definitions) != before
    before = publications.look(definitions)
    make(END - timedelta(days=1), "former")
    assert list(publications.ads(definitions)) == [["a", "b"]]
    before = publications.look(definitions)
    make(END, "c")
    assert publications.look(definitions) != before
    assert list(publications.ads(definitions)) == [["c"]]
    assert publications.look(replace(definitions, views={"u_slow": tables["u_slow"]})) == frozenset()
