"""Errors of the batch side."""

from adfeast.errors import AdfeastError


class BatchError(AdfeastError):
    """A batch job cannot do its work."""


class MissingTable(BatchError):
    """A table that a batch view's query may read is not in the lake."""


class BadFeatureRows(BatchError):
    """What a batch view's query returned does not fit the view."""


class NotComplete(BatchError):
    """What a job reads is not all in the archive yet: try again later.

    Attributes:
        behind: one text a topic: its name, what is needed of it and how far its archive is.
    """

    def __init__(self, behind: list[str]) -> None:
        super().__init__(
            "the archive is not complete: " + "; ".join(behind) + ". Wait and run again; if it stands still, see "
            "`adfeast status` for the archive job"
        )
        self.behind = behind


class UnusableContract(BatchError):
    """What was logged cannot be laid out as a training set."""


class NothingToLabel(BatchError):
    """There is not one closed impression with a snapshot in the interval."""


class ValidationFailed(BatchError):
    """A training set does not fit its contract.

    Attributes:
        failed: one text an expectation that was not met.
    """

    def __init__(self, path: str, failed: list[str]) -> None:
        super().__init__(f"training set {path} fails {len(failed)} expectation(s): " + "; ".join(failed))
        self.failed = failed
