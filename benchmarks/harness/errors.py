"""Why a benchmark stops instead of printing a figure that means nothing."""

from adfeast.errors import AdfeastError


class BenchmarkError(AdfeastError):
    """A part died, a request failed, or two servers do not answer the same."""
