"""What can go wrong between a training set and an exported model."""

from adfeast.errors import AdfeastError


class ModelError(AdfeastError):
    """A model cannot be built, trained or exported."""


class TrainingSetError(ModelError):
    """A training set is not readable or does not fit its contract."""


class InputError(ModelError):
    """A model is asked to take what the service, or the training set, does not have."""


class NoClicks(ModelError):
    """A part of the training set has no click, so nothing can be learned or measured from it."""


class ExportMismatch(ModelError):
    """A flavour answers otherwise than the model it was exported from."""
