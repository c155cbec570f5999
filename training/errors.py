"""Errors of the batch side."""

from adfeast.errors import AdfeastError


class BatchError(AdfeastError):
    """A batch job cannot do its work."""


class FutureInterval(BatchError):
    """An interval is asked for that has not ended yet, or so lately that its events may still be on their way."""

    later = True


class UnknownView(BatchError):
    """No batch view of that name is applied."""


class NotAnInterval(BatchError):
    """A time is not the end of an interval, or a length is none."""


class AlreadyDone(BatchError):
    """An interval that is made cannot be skipped."""

    later = True


class UnknownTable(BatchError):
    """A batch view's query reads what is neither an event topic nor a delivered table."""


class MissingTable(BatchError):
    """A table that a batch view's query reads is not in the lake."""


class BadQuery(BatchError):
    """A batch view's query cannot run."""


class BadFeatureRows(BatchError):
    """More of a batch view's rows are unsound than the view allows.

    Attributes:
        reasons: reason to number of rows.
    """

    def __init__(self, message: str, reasons: dict[str, int]) -> None:
        super().__init__(message)
        self.reasons = reasons


class NotPublished(BatchError):
    """What was computed for a batch view does not meet its suite; neither its folder nor its online rows were touched.

    Attributes:
        failed: one text an expectation that was not met.
    """

    def __init__(self, view: str, failed: list[str]) -> None:
        super().__init__(f"view {view!r} is not published, it fails {len(failed)} expectation(s): " + "; ".join(failed))
        self.failed = failed


class NotComplete(BatchError):
    """What a job reads is not all in the archive yet: try again later.

    Attributes:
        behind: one text a topic: its name, what is needed of it and how far its archive is.
    """

    later = True

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


class WorldError(BatchError):
    """A world cannot be made as it is asked for, or the definitions name a column that it has not."""
