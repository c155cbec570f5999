"""`adfeast ads keep`: wires a keeper to the stores, the topics and the definitions of a deployment."""

from __future__ import annotations

import asyncio
import fcntl
import threading
from dataclasses import dataclass

from adfeast.access import RedisAccess
from adfeast.clock import Clock
from adfeast.contract.definitions import Definitions
from adfeast.errors import SettingsError
from adfeast.feast_ext.registry import load_definitions, registry_digest
from adfeast.settings import Settings
from serving.ads.filler import AdKeeper
from serving.ads.kafka import FeatureSource
from serving.ads.published import Publications
from serving.clients.sigv4 import RENEW_S
from serving.features.dynamodb import DynamoDBTier
from serving.features.reader import Tiers
from serving.features.redis_cluster import redis_tier
from serving.loops import Loop


@dataclass(frozen=True)
class _Registry:
    settings: Settings

    def digest(self) -> str:
        return registry_digest(self.settings)

    def load(self) -> Definitions:
        return load_definitions(self.settings)


async def keep(settings: Settings, clock: Clock, stop: threading.Event) -> None:
    """Keeps the table of ads until `stop` is set.

    Raises:
        SettingsError: the settings name no folder for it, or another keeper is at work in it.
        TopicsLost: what is missing of the topics must be read from the stores, which the next start does.
    """
    folder = settings.ad_table
    if folder is None:
        raise SettingsError("ad_table names no folder: set it to one on a file system in memory, such as /dev/shm/ads")
    folder.mkdir(parents=True, exist_ok=True)
    redis, dynamodb = redis_tier(RedisAccess.of(settings)), DynamoDBTier(settings, consistent=True)
    with (folder / f"{settings.project}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SettingsError(f"another keeper writes in ad_table={folder}") from error
        source, tiers = FeatureSource(settings), Tiers(redis, dynamodb, settings)
        publications = Publications(settings, clock)
        renewing = asyncio.create_task(Loop("credentials", dynamodb.credentials.renew, RENEW_S, clock).run())
        try:
            await AdKeeper(settings, folder, clock, tiers, source, publications, _Registry(settings)).run(stop)
        finally:
            renewing.cancel()
            source.close()
            tiers.close()
