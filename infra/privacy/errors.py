"""What can go wrong when a user is forgotten; no message names the user."""

from __future__ import annotations

from adfeast.errors import AdfeastError


class PrivacyError(AdfeastError):
    """A user cannot be forgotten."""


class NoForgetKey(PrivacyError):
    """There is no key by which the record could name a user without saying who it is."""


class StoreAway(PrivacyError):
    """An online store does not answer, or refuses: it is asked again in the next run."""


class RowsLost(PrivacyError):
    """A file without a user's rows would not hold all other rows: it was left as it is."""


class FileChanged(PrivacyError):
    """Somebody replaced a file while it was being rewritten."""

    later = True


class NotSettled(PrivacyError):
    """The archive job may still ask for files of the lake as it has written them."""

    later = True
