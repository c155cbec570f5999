"""What Feast says of itself at every command, silenced at its source; and our errors as what they say, without a stack.

Each line names what it silences and why nobody misses it.
"""

from __future__ import annotations

import logging
import sys
import traceback
import warnings
from pathlib import Path
from types import TracebackType

from adfeast.errors import AdfeastError

UNWANTED = ("serve_features_while_materializing", "FileSource path does not exist")


def install() -> None:
    """Harmless when it is done already."""
    # Stream views are "experimental" to Feast; here they are what the platform is built on.
    warnings.filterwarnings("ignore", message="Stream feature views are experimental", category=RuntimeWarning)
    # feature_store.yaml wants it so; Feast says at every opening that a cache in a thread may lag.
    logging.getLogger("feast.repo_config").addFilter(_wanted)
    # The batch job makes a view's table with its first rows; until then Feast misses it at every apply.
    logging.getLogger("feast.infra.offline_stores.file_source").addFilter(_wanted)
    if Path(sys.argv[0]).name == "feast":
        sys.excepthook = tell


def _wanted(record: logging.LogRecord) -> bool:
    return not any(text in record.getMessage() for text in UNWANTED)


def tell(kind: type[BaseException], error: BaseException, stack: TracebackType | None) -> None:
    """The exception hook of `feast`: an error of ours is its message and the line of the definitions it is about."""
    if not isinstance(error, AdfeastError):
        sys.__excepthook__(kind, error, stack)
        return
    sys.stdout.flush()
    print(f"{_place(stack)}{error}", file=sys.stderr)  # noqa: T201 (what a command says)


def _place(stack: TracebackType | None) -> str:
    """File and line of the feature repo that the error comes from; empty when it comes from none."""
    here = Path.cwd()
    for frame in reversed(traceback.extract_tb(stack)):
        if Path(frame.filename).parent == here:
            return f"{Path(frame.filename).name}:{frame.lineno}: "
    return ""
