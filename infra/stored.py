"""The online stores as `adfeast gc` sees them: tables of views in DynamoDB, fields of features in Redis."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from types import TracebackType
from typing import Any, Self

import boto3

from adfeast.access import RedisAccess
from adfeast.feast_ext.online_layout import dynamodb_table, redis_field, redis_time_field
from adfeast.settings import Settings

SCAN = 1000  # keys a round trip: Redis serves others in between
Key = tuple[str, str]  # view and feature


class Tables:
    """The DynamoDB tables of a project, one a view."""

    def __init__(self, settings: Settings) -> None:
        self._project = settings.project
        self.client: Any = boto3.client(
            "dynamodb",
            endpoint_url=settings.dynamodb_endpoint,
            region_name=settings.aws_region,
            aws_access_key_id=settings.aws_access_key_id,
            aws_secret_access_key=settings.aws_secret_access_key,
        )

    def name(self, view: str) -> str:
        return dynamodb_table(self._project, view)

    def views(self) -> list[str]:
        """Views that have a table."""
        pages = self.client.get_paginator("list_tables").paginate()
        names = [n for page in pages for n in page["TableNames"]]
        start = self.name("")
        return sorted(n.removeprefix(start) for n in names if n.startswith(start))

    def rows(self, view: str) -> int:
        """As DynamoDB counts them, which may be hours old."""
        return int(self.client.describe_table(TableName=self.name(view))["Table"]["ItemCount"])

    def drop(self, view: str) -> None:
        """Returns when it is gone."""
        self.client.delete_table(TableName=self.name(view))
        self.client.get_waiter("table_not_exists").wait(TableName=self.name(view), WaiterConfig={"Delay": 1})


class Redis:
    """The hashes of a project, one an entity."""

    def __init__(self, settings: Settings) -> None:
        self._project = settings.project.encode()
        self._client = RedisAccess.of(settings).client()

    def count(self, features: Iterable[Key], views: Iterable[str], keep: Collection[Key]) -> dict[str, int]:
        """How many hashes hold each of the features, and the time of each of the views."""
        return self._each(features, views, keep, "HEXISTS")

    def take(self, features: Iterable[Key], views: Iterable[str], keep: Collection[Key]) -> dict[str, int]:
        """Deletes these fields; returns how many there were of each.

        Args:
            keep: features that stay, even if the hash of a field's name is that of another.
        """
        return self._each(features, views, keep, "HDEL")

    def _each(
        self, features: Iterable[Key], views: Iterable[str], keep: Collection[Key], command: str
    ) -> dict[str, int]:
        kept = {redis_field(*key) for key in keep}
        fields = {f"{view}.{name}": redis_field(view, name) for view, name in features}
        fields = {name: field for name, field in fields.items() if field not in kept}
        fields |= {f"{view} (time)": redis_time_field(view) for view in views}
        found = dict.fromkeys(fields, 0)
        for keys in self._keys() if fields else ():
            with self._client.pipeline(transaction=False) as pipe:
                for key in keys:
                    for field in fields.values():
                        pipe.execute_command(command, key, field)
                answers = pipe.execute()
            for i, answer in enumerate(answers):
                found[list(fields)[i % len(fields)]] += int(answer)
        return found

    def _keys(self) -> Iterator[list[bytes]]:
        """The project's keys, a batch at a time."""
        found = self._client.scan_iter(match=b"*" + self._project, count=SCAN, _type="HASH")
        own = (key for key in found if _project_of(key) == self._project)
        while keys := list(islice(own, SCAN)):
            yield keys

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._client.close()


def _project_of(key: bytes) -> bytes | None:
    """The project at the end of a key (adfeast.feast_ext.online_layout); None for keys of others."""
    try:
        count, _, length = struct.unpack_from("<III", key)
        at = 12 + length
        _, length = struct.unpack_from("<II", key, at)
    except struct.error:
        return None
    return key[at + 8 + length :] if count == 1 else None
