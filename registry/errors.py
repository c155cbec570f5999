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
