"""Errors of the parts that Feast loads by name."""

from adfeast.errors import AdfeastError


class TierError(AdfeastError):
    """A view cannot be placed in an online tier."""


class StoreThrottled(AdfeastError):
    """DynamoDB kept part of a batch unprocessed beyond all retries."""
