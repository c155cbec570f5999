"""What a drill can find."""

from adfeast.errors import AdfeastError


class DrillError(AdfeastError):
    """Root of the drills' errors."""


class CommandFailed(DrillError):
    """A command ended otherwise than it should."""


class NotInTime(DrillError):
    """Something that was waited for did not happen."""


class Broken(DrillError):
    """The platform did not keep a promise; the message lists every one that it broke."""
