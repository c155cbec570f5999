"""Keeps the tables of ads of one machine: `adfeast ads keep`, supervised. Servers only read them.

A table is made from the stores and then followed: stream views by the feature topics, batch views by the run ledger.
It begins where the Redis writer's offsets are, so nothing is in neither. Where definitions change, another layout is
filled beside the table that serves, and becomes current when it has caught up. The keeper may be killed at any moment:
what it had written is taken up again from the file, up to the rows it was just writing.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from confluent_kafka import Message
from sqlalchemy.exc import SQLAlchemyError

from adfeast.clock import Clock
from adfeast.contract.definitions import Definitions
from adfeast.errors import AdfeastError
from adfeast.settings import Settings
from adfeast.whole_file import replace_text
from serving.ads.feed import Feed
from serving.ads.files import current_file, point, sign_file, table_file
from serving.ads.kafka import Bounds, Offsets, Source
from serving.ads.layout import TableLayout, plan_of_ads
from serving.ads.offsets import save, saved_offsets, start_offsets
from serving.ads.places import bytes_an_ad
from serving.ads.published import BatchSide, Publications, Published
from serving.ads.table import WrittenTable
from serving.ads.topics import FeatureTopics
from serving.errors import StoreUnavailable, TableUnusable, TopicsLost
from serving.features.reader import Tiers

log = logging.getLogger(__name__)
SLICE = 500  # ads that are read from the stores between two looks at the topics
LOOK_MS = 2_000  # between two looks at definitions, partitions and the ledger
SAVE_MS = 1_000
SIGN_MS = 500
PAUSE_S = 0.5
FAILURES = (AdfeastError, SQLAlchemyError, OSError)


class Applied(Protocol):
    """What is applied; `digest` is another whenever it is another."""

    def digest(self) -> str: ...

    def load(self) -> Definitions: ...


class AdKeeper:
    """One process; `run` until stopped.

    Args:
        folder: where the tables are.
    """

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        clock: Clock,
        tiers: Tiers,
        source: Source,
        publications: Publications,
        applied: Applied,
    ) -> None:
        self._settings, self._folder, self._clock = settings, folder, clock
        self._tiers, self._source, self._applied = tiers, source, applied
        self._definitions: Definitions | None = None
        self._digest = self._seen = ""
        self._serving: Feed | None = None
        self._building: Feed | None = None
        self._targets: Offsets = {}
        self._messages: list[Message] = []  # that came and are not applied yet
        self._looked_ms = self._saved_ms = self._signed_ms = -LOOK_MS
        self._begun: tuple[Published, int] = (frozenset(), 0)
        self._topics: FeatureTopics
        self._batch = BatchSide(publications)
        self._said, self._problem = "", ""

    @property
    def problem(self) -> str:
        """What keeps servers from reading everything that they could; empty when nothing does."""
        if self._problem:
            return self._problem
        if self._building is not None:
            return f"a table is being filled: {len(self._building.table)} ads, {len(self._building.waiting)} to come"
        return "catching up with the feature topics" if self._targets else ""

    async def run(self, stop: threading.Event) -> None:
        """Until `stop` is set; what fails is tried again."""
        while not stop.is_set():
            await self.turn()
        self._save()
        sign_file(self._folder, self._settings.project).unlink(missing_ok=True)  # nobody misses one that was stopped

    async def turn(self) -> None:
        """Does what there is to do once, and says how it is."""
        try:
            await self._hear()  # before anything that goes back in the topics: nothing may be left half applied
            await self._look_when_due()
            await self._fill_some()
            if self._serving is not None and self._building is None:
                await self._batch.sweep_some(self._serving)
            if self._clock.now_ms() - self._saved_ms >= SAVE_MS:
                self._save()
            problem = ""
        except TopicsLost:
            raise  # whoever comes after this process sees it by the offsets, and fills a new table
        except FAILURES as error:
            problem = f"{type(error).__name__}: {error}".splitlines()[0]
            if problem != self._problem:
                log.warning("%s; trying again", problem)
        self._problem = problem
        self._sign()
        if problem:
            await asyncio.sleep(PAUSE_S)

    async def _look_when_due(self) -> None:
        now = self._clock.now_ms()
        if now - self._looked_ms < LOOK_MS:
            return
        digest, definitions = await asyncio.to_thread(self._applied.digest), self._definitions
        if definitions is None or (digest != self._digest and digest == self._seen):
            # `feast apply` writes object by object: what is the same twice is whole.
            definitions = await asyncio.to_thread(self._applied.load)
            await (self._begin if self._definitions is None else self._bring_in_line)(definitions)
            self._digest, self._definitions = digest, definitions
        self._seen = digest
        await self._follow_new_partitions()
        if self._serving is not None and self._building is None:
            await self._batch.look(self._serving, definitions, now)
        self._looked_ms = now

    def _sign(self) -> None:
        """Tells who supervises it, and servers that start, that it is alive and how it is."""
        now = self._clock.now_ms()
        if now - self._signed_ms < SIGN_MS and self.problem == self._said:
            return
        self._signed_ms, self._said = now, self.problem
        table = self._serving.table if self._serving else None
        size = "no table"
        if table is not None:
            size = f"{len(table)} ads of {table.capacity}, {bytes_an_ad(table.layout)} bytes each"
        replace_text(sign_file(self._folder, self._settings.project), f"{self.problem}\n{size}\n")

    async def _begin(self, definitions: Definitions) -> None:
        self._topics = FeatureTopics(self._settings, definitions, self._clock)
        plan = plan_of_ads(definitions)
        layout, link = TableLayout.of(plan), current_file(self._folder, self._settings.project)
        bounds = await asyncio.to_thread(self._source.bounds, self._topics.names)
        known: list[str] = []
        try:
            table = WrittenTable(link.resolve())
            known = table.ads()
            if table.layout != layout or table.capacity != self._settings.ad_table_rows:
                raise TableUnusable(f"{table.file.name} is of another layout or size")
            saved = saved_offsets(table.file, bounds)
        except TableUnusable as error:
            log.info("a new table of ads is filled: %s", error)
            await self._build(definitions, known)
            return
        feed = Feed(table, plan, self._tiers)
        if torn := table.torn():
            log.warning("%d ads were being written when the keeper died", len(torn))
            for marks in table.marks.values():
                marks[:] = 0  # until what was read again has been followed to where the others are
            await feed.admit(torn)
        # Ads come in by what is in Redis, which may be behind this table.
        await self._go_back(bounds, saved)
        self._serving = feed
        log.info("%d ads are in %s", len(table), table.file.name)

    async def _build(self, definitions: Definitions, known: Sequence[str]) -> None:
        """Begins a table, beside the one that serves if there is one.

        Args:
            known: ads that come in beside those that are published.
        """
        now, begun = self._clock.now_ms(), await self._batch.begin(definitions)
        await self._tiers.watermarks.look()
        bounds = await asyncio.to_thread(self._source.bounds, self._topics.names)
        await self._go_back(bounds, self._source.position if self._serving else {})
        plan = plan_of_ads(definitions)
        layout = TableLayout.of(plan)
        file = table_file(self._folder, self._settings.project, layout.id, now)
        table = WrittenTable.create(file, layout, self._settings.ad_table_rows)
        feed = Feed(table, plan, self._tiers, self._tiers.watermarks.stored)
        feed.waiting = await self._batch.ads(definitions, known)
        self._building, self._begun = feed, (begun, now)

    async def _go_back(self, bounds: Bounds, at: Offsets) -> None:
        """Follows the topics from `at`, or from what is not sure to be in Redis if that comes first."""
        start = start_offsets(bounds, await asyncio.to_thread(self._source.written, list(bounds)), at)
        self._messages = []
        await asyncio.to_thread(self._source.follow, start)
        self._targets = {place: end for place, (_, end) in bounds.items() if start[place] < end}

    async def _bring_in_line(self, definitions: Definitions) -> None:
        layout = TableLayout.of(plan_of_ads(definitions))
        self._topics.bring_in_line(definitions)
        if self._building is not None and self._building.table.layout != layout:
            self._building.table.file.unlink(missing_ok=True)
            self._building = None
        if self._building is None and (self._serving is None or self._serving.table.layout != layout):
            await self._build(definitions, self._serving.table.ads() if self._serving else [])

    async def _follow_new_partitions(self) -> None:
        bounds = await asyncio.to_thread(self._source.bounds, self._topics.names)
        at = self._source.position
        if bounds.keys() - at.keys():
            await asyncio.to_thread(self._source.follow, at | {p: bounds[p][0] for p in bounds.keys() - at.keys()})

    async def _hear(self) -> None:
        if self._definitions is None:
            return
        if not self._messages:
            self._messages = await asyncio.to_thread(self._source.poll)
        heard = self._topics.read(self._messages)
        for feed in (self._serving, self._building):
            if feed is not None:
                await feed.apply(heard)
        self._messages = []
        at = self._source.position
        self._targets = {place: end for place, end in self._targets.items() if at.get(place, 0) < end}

    async def _fill_some(self) -> None:
        feed = self._building
        if feed is None:
            return
        some, feed.waiting = feed.waiting[:SLICE], feed.waiting[SLICE:]
        try:
            await feed.admit(feed.lacking(some)[: feed.table.room])
        except StoreUnavailable:
            feed.waiting = some + feed.waiting
            raise
        if feed.waiting or self._targets:
            return
        self._batch.filled(feed, *self._begun)
        self._building, self._serving = None, feed
        self._save()
        point(self._folder, self._settings.project, feed.table.file)
        log.info("%d ads are in %s, which is current now", len(feed.table), feed.table.file.name)

    def _save(self) -> None:
        """Writes down from where on a keeper that comes after this one must read; all before it is in the table."""
        if self._serving is None or self._messages:
            return
        save(self._serving.table.file, self._source.position)
        self._saved_ms = self._clock.now_ms()
