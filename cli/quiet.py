"""Silences what libraries say on standard error while nothing is wrong; called before any of them is imported.

Each is silenced where it speaks, so that everybody else's warnings still come through.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import warnings

_ENVIRONMENT = {
    "DO_NOT_TRACK": "true",
    "FEAST_USAGE": "False",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
# Loggers whose warnings tell a user of the command line nothing: torch.fx speaks of its own future at every trace.
_LOGGERS = ("torch.fx._symbolic_trace",)
# Modules that warn of what their own dependencies will change one day.
_MODULES = ("feast", "mlflow", "torch", "torchrec", "onnx")


# What a job calls on the way, and what it says of itself.
_TALKATIVE = ("py.warnings", "feast", "great_expectations", "py4j", "botocore", "urllib3")


def be_quiet() -> None:
    """For jobs: only what an operator can act on reaches standard error."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    for handler in logging.root.handlers:  # a library that sets a level of its own logger passes by the root's
        handler.setLevel(logging.WARNING)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    # DuckDB's bindings count at the end what they leaked, in forty lines; errors have been printed by then.
    atexit.register(lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2))


def quiet() -> None:
    """Sets environment, logging and warnings of this process; what the environment says already stays."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    for module in _MODULES:
        for kind in (DeprecationWarning, FutureWarning, UserWarning, RuntimeWarning):
            warnings.filterwarnings("ignore", category=kind, module=rf"{module}(\.|$)")
