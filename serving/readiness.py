"""Whether this process can answer a Predict: known once it has read and scored a row as a request does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from adfeast.clock import Clock
from serving.errors import ServingError
from serving.features.columns import Rows
from serving.live import Live
from serving.model.scorer import Scorer

log = logging.getLogger(__name__)
PAUSE_S = 0.2
WARM_UP = "warm-up"


class Readiness:
    """Tries what is live with a user and an ad that nobody knows; nothing of it is logged."""

    def __init__(self, live: Callable[[], Live], scorer: Scorer, clock: Clock) -> None:
        self._live, self._scorer, self._clock = live, scorer, clock

    async def proven(self) -> None:
        """Returns once a row was scored; what fails until then is logged when it changes, and tried again."""
        said = ""
        while True:
            try:
                if await self._scored():
                    return
            except ServingError as error:
                if said != (said := str(error)):
                    log.warning("not ready: %s", error)
            await asyncio.sleep(PAUSE_S)

    async def _scored(self) -> bool:
        live = self._live()
        if live.answers is None:
            return False
        rows = await live.reader.read(WARM_UP, [WARM_UP], Rows(live.plan.request, 1), self._clock.now_ms())
        await self._scorer.score(live.answers.model, live.answers.selection.take(rows.tensors))
        return True
