"""The batch side of a table: what materialization has published by the run ledger, and reading it into the table.

The ledger says when, the lake which ads, DynamoDB what: online rows are whole when a run is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import pyarrow as pa

from adfeast.clock import Clock
from adfeast.contract.definitions import Definitions, View
from adfeast.lake import interval_folder, open_table
from adfeast.ledger import Ledger, Run
from adfeast.settings import Settings
from serving.ads.feed import Feed
from serving.ads.layout import followed_views

Published = frozenset[tuple[object, ...]]
ROWS = 50_000  # of a folder's ids, read at a time
SLICE = 500  # ads that are read from DynamoDB between two looks at the topics
SWEEP_MS = 3_600_000  # after so long batch values are compared with DynamoDB though nothing was published


class Publications:
    """What the ledger and the lake say."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings, self._ledger = settings, Ledger(settings, clock)

    def look(self, definitions: Definitions) -> Published:
        """Changes whenever something was published."""
        return frozenset(
            (v.name, r.digest, r.end, r.finished) for v in followed_views(definitions, "batch") for r in self._done(v)
        )

    def ads(self, definitions: Definitions) -> Iterator[list[str]]:
        """The ads of the newest interval of each view, some at a time, some more than once."""
        for view in followed_views(definitions, "batch"):
            newest = max(self._done(view), key=lambda r: r.end, default=None)
            if newest is None:
                continue
            url = interval_folder(view.table, newest.end)
            found = open_table(self._settings, url, {view.join_key: pa.string()})
            if not isinstance(found, pa.Table):  # else nothing lies there any more
                for batch in found.to_batches(batch_size=ROWS):
                    yield [ad for ad in batch.column(0).to_pylist() if ad]

    def _done(self, view: View) -> list[Run]:
        return [r for r in self._ledger.runs(subject=view.name) if r.status == "done"]


class BatchSide:
    """Keeps the batch values of the table that serves as they are published."""

    def __init__(self, publications: Publications) -> None:
        self._publications = publications
        self._holds: Published | None = None  # what the table holds, as of `_held_ms`
        self._held_ms = 0
        self._reading: tuple[Published, int] | None = None  # what it is to hold when `_left` is read
        self._left: list[str] = []

    async def begin(self, definitions: Definitions) -> Published:
        """What a table holds whose ads are all read from now on; gives up what was being read."""
        self._reading, self._left = None, []
        return await asyncio.to_thread(self._publications.look, definitions)

    def filled(self, feed: Feed, published: Published, at_ms: int) -> None:
        """A table has been filled that was begun at some time."""
        self._holds, self._held_ms = published, at_ms
        feed.table.checked(at_ms)

    async def ads(self, definitions: Definitions, known: Sequence[str]) -> list[str]:
        """The known ads and those that are published, each once."""
        found = dict.fromkeys(known)
        for some in await asyncio.to_thread(lambda: list(self._publications.ads(definitions))):
            found |= dict.fromkeys(some)
        return list(found)

    async def look(self, feed: Feed, definitions: Definitions, now_ms: int) -> None:
        """Asks whether something was published; if so, all ads are read again by `sweep_some`."""
        if self._reading is not None:
            return
        published = await asyncio.to_thread(self._publications.look, definitions)
        if published == self._holds and now_ms - self._held_ms < SWEEP_MS:
            feed.table.checked(now_ms)
            return
        known = feed.table.ads()
        self._left = await self.ads(definitions, known) if published != self._holds else known
        self._reading = published, now_ms

    async def sweep_some(self, feed: Feed) -> None:
        """Reads some ads.

        Raises:
            StoreUnavailable: they are read another time.
        """
        if self._reading is None:
            return
        some = self._left[:SLICE]
        new = feed.lacking(some)
        await feed.admit(new[: feed.table.room])
        fresh = set(new)
        await feed.refresh([ad for ad in some if ad not in fresh])
        self._left = self._left[SLICE:]
        if not self._left:
            self.filled(feed, *self._reading)
            self._reading = None
