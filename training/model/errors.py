"""What can go wrong between a training set and an exported model."""

from adfeast.errors import AdfeastError


class ModelError(AdfeastError):
    """A model cannot be built, trained or exported."""


class TrainingSetError(ModelError):
    """A training set is not readable or does not fit its contract."""


class InputError(ModelError):
    """A model is asked to take what the service, or the training set, does not have."""


class ConfigError(ModelError):
    """A training configuration holds an unknown key or a bad value."""


class NoClicks(ModelError):
    """A part of the training set has no click, so nothing can be learned or measured from it."""


class TrainingDiverged(ModelError):
    """The loss is no number any more, so nothing that follows from it may be shipped.

    Attributes:
        epoch: the pass over the training rows, from 1.
        batch: the batch in it, from 1.
    """

    def __init__(self, kind: str, epoch: int, batch: int, loss: float, remedy: str = "") -> None:
        super().__init__(
            f"the loss of the {kind} is {loss} in epoch {epoch}, batch {batch}: {remedy}look for values that are not "
            "finite with `adfeast batch validate`"
        )
        self.epoch, self.batch = epoch, batch


class ExportMismatch(ModelError):
    """A flavour answers otherwise than the model it was exported from."""
