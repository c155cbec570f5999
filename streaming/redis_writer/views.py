"""Which topics and layouts the writer knows: read from the registry when it meets one that it does not know."""

from __future__ import annotations

import logging
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from adfeast.clock import Clock
from adfeast.contract.definitions import Definitions
from adfeast.contract.rows import known_layouts
from adfeast.contract.topics import Topic, features_topic, topics
from adfeast.errors import AdfeastError
from adfeast.feast_ext.online_layout import redis_lifetimes
from adfeast.settings import Settings
from streaming.redis_writer.layout import Progress, RowLayout

log = logging.getLogger(__name__)
RELOAD_MS = 2_000
# Known rows may be in the layout of today again, or their view may be another in what makes no layout.
FORMER_MS, REFRESH_MS = 5_000, 60_000
# New layouts asked for at once in that time: garbage must not have the registry read for each of its rows.
ASKED = 10


class KnownViews:
    """The stream views and every layout that they ever had.

    Attributes:
        topics: every topic that the definitions want.
    """

    def __init__(self, settings: Settings, load: Callable[[], Definitions], clock: Clock) -> None:
        self._settings, self._load, self._clock = settings, load, clock
        self._loaded_ms = 0
        self._asked: set[tuple[str, bytes]] = set()
        self._layouts: dict[str, dict[bytes, RowLayout]] = {}
        self.topics: dict[str, Topic] = {}
        self.reload()

    @property
    def names(self) -> list[str]:
        """Names of the views."""
        return [next(iter(layouts.values())).view.name for layouts in self._layouts.values() if layouts]

    def knows(self, topic: str) -> bool:
        """Whether a topic is that of a stream view."""
        return topic in self._layouts

    def find(self, topic: str, head: bytes) -> RowLayout | None:
        """The layout of rows that begin with these nine bytes.

        A job writes a layout only after it was recorded, so one that was asked for once is not asked for again soon.
        """
        found = self._layouts.get(topic, {}).get(head)
        age = self._clock.now_ms() - self._loaded_ms
        if found is not None and age < (REFRESH_MS if found.current else FORMER_MS):
            return found
        if found is not None:
            self._refresh()
        else:
            if age >= RELOAD_MS:
                self._asked = set()
            if not self._asked or ((topic, head) not in self._asked and len(self._asked) < ASKED):
                self._asked.add((topic, head))
                self.reload()
        return self._layouts.get(topic, {}).get(head)

    def _refresh(self) -> None:
        try:
            self.reload()
        except (AdfeastError, SQLAlchemyError) as error:
            self._loaded_ms = self._clock.now_ms()
            log.warning("the definitions were not read again; those that are known go on: %s", error)

    def reload(self) -> None:
        """Reads definitions and layouts; what the rows have said of themselves is kept."""
        definitions = self._load()
        lives = redis_lifetimes(definitions)
        former, self._layouts = self._layouts, {}
        for view in (v for v in definitions.views.values() if v.kind == "stream"):
            topic = features_topic(definitions.project, view.name)
            current = next((x for x in former.get(topic, {}).values() if x.current), None)
            made: dict[bytes, RowLayout] = {}
            progress = Progress()
            for layout in known_layouts(self._settings, view.name):
                made[layout.head] = RowLayout(layout, view, definitions.project, lives[view.join_key], progress)
            if current and current.layout.head in made and made[current.layout.head].current:
                progress.ms = current.progress.ms
            self._layouts[topic] = made
        self.topics = topics(definitions, self._settings)
        self._loaded_ms = self._clock.now_ms()
