"""What can go wrong in the demo, in terms of what to do about it."""

from __future__ import annotations

from adfeast.errors import AdfeastError


class DemoError(AdfeastError):
    """Root of the demo's errors."""


class DownloadFailed(DemoError):
    """The data set could not be fetched."""


class WrongHash(DemoError):
    """A file is not the one this demo was written for.

    Attributes:
        file: its name inside the archive, or the archive's name.
    """

    def __init__(self, file: str, expected: str, found: str) -> None:
        super().__init__(
            f"{file} has SHA-256 {found}, expected {expected}: delete it and run again; "
            "if it happens twice the published file has changed"
        )
        self.file = file


class MissingMapping(DemoError):
    """The definitions ask for a column that demo/columns.yaml does not fill.

    Attributes:
        column: its name.
    """

    def __init__(self, what: str, column: str) -> None:
        super().__init__(f"{what} asks for {column!r}, which has no expression in demo/columns.yaml: add one")
        self.column = column


class Prerequisite(DemoError):
    """Something the demo needs is not on this machine."""


class StepFailed(DemoError):
    """A step ended without what the next one needs."""
