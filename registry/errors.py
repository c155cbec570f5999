"""What can go wrong between an artifact and production."""

from adfeast.errors import AdfeastError


class RegistryError(AdfeastError):
    """The registry cannot do what was asked."""


class ArtifactError(RegistryError):
    """A folder is not an artifact as training writes it."""


class UnknownVersion(RegistryError):
    """No such version is registered."""


class DeployFailed(RegistryError):
    """A version could not be served; what served before still does."""


class NotBetter(RegistryError):
    """A version was compared with the one that served and is not shown to be as good.

    Attributes:
        version: its number.
        reason: the figures.
    """

    def __init__(self, version: int, reason: str) -> None:
        super().__init__(
            f"version {version} is not deployed, it is {reason}. Train on more or later data, or deploy it all the "
            "same with --force REASON, which the journal keeps"
        )
        self.version, self.reason = version, reason


class InputsNotMade(RegistryError):
    """A version takes features that are not made today, or are made otherwise.

    Attributes:
        missing: one text an input.
    """

    later = True

    def __init__(self, what: str, missing: list[str]) -> None:
        super().__init__(
            f"{what} takes {len(missing)} input(s) that are not made as it was trained: {'; '.join(missing)}. "
            "Apply the definitions it was trained with, or train and deploy a model from those of today"
        )
        self.missing = missing


class NotLoaded(RegistryError):
    """Triton has no such model."""


class ModelInUse(RegistryError):
    """A model that may answer now cannot be unloaded."""

    later = True
