"""Errors of the parts that Feast loads by name."""

from adfeast.errors import AdfeastError


class TierError(AdfeastError):
    """A view cannot be placed in an online tier."""


class FutureRow(AdfeastError):
    """A row's event time lies after the clock: as older rows never win, it would shut out every true one until then."""


class StoreThrottled(AdfeastError):
    """DynamoDB kept part of a batch unprocessed beyond all retries."""
