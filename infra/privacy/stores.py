"""The rows of one user in the online stores, whichever view they are of, also of views that nobody defines any more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import redis
from botocore.exceptions import BotoCoreError, ClientError

from adfeast.access import RedisAccess
from adfeast.feast_ext.online_layout import DYNAMODB_KEY, dynamodb_id, redis_key
from adfeast.settings import Settings
from infra.privacy.errors import StoreAway
from infra.stored import Tables


class Store(Protocol):
    """An online store in Feast's layout."""

    def count(self, join_key: str, value: str) -> dict[str, int]:
        """Place to how many rows of an entity it holds; places without any are left out.

        Raises:
            StoreAway: it does not answer, or refuses.
        """
        ...

    def delete(self, join_key: str, value: str) -> dict[str, int]:
        """Deletes them; returns what `count` would have said."""
        ...


class RedisRows:
    """One hash an entity, over all views."""

    def __init__(self, settings: Settings) -> None:
        self._project = settings.project
        with _asked():
            self._client = RedisAccess.of(settings).client(socket_timeout=10)

    def count(self, join_key: str, value: str) -> dict[str, int]:
        """See `Store`."""
        with _asked():
            return _found("redis", self._client.exists(redis_key(join_key, value, self._project)))

    def delete(self, join_key: str, value: str) -> dict[str, int]:
        """See `Store`."""
        with _asked():
            return _found("redis", self._client.delete(redis_key(join_key, value, self._project)))


class DynamoDBRows:
    """One table a view: every one that the project has is asked, since a table does not say of which entity it is."""

    def __init__(self, settings: Settings) -> None:
        self._tables = Tables(settings)

    def count(self, join_key: str, value: str) -> dict[str, int]:
        """See `Store`."""
        wanted: dict[str, Any] = {"ConsistentRead": True, "ProjectionExpression": DYNAMODB_KEY}
        return self._each("get_item", "Item", join_key, value, wanted)

    def delete(self, join_key: str, value: str) -> dict[str, int]:
        """See `Store`."""
        return self._each("delete_item", "Attributes", join_key, value, {"ReturnValues": "ALL_OLD"})

    def _each(self, call: str, answered: str, join_key: str, value: str, more: dict[str, Any]) -> dict[str, int]:
        key = {DYNAMODB_KEY: {"S": dynamodb_id(join_key, value)}}
        found: dict[str, int] = {}
        with _asked():
            for view in self._tables.views():
                name = self._tables.name(view)
                answer = getattr(self._tables.client, call)(TableName=name, Key=key, **more)
                found |= _found(f"dynamodb {name}", int(answered in answer))
        return found


@contextmanager
def _asked() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, BotoCoreError, ClientError) as error:
        raise StoreAway(f"{type(error).__name__}: {error}; run it again once the store answers") from error


def _found(place: str, rows: int) -> dict[str, int]:
    return {place: rows} if rows else {}
