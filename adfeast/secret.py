"""Settings that are never shown: a value, or `file:/run/secrets/name`, the file that holds it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, SecretStr

FROM_FILE = "file:"
_IN_URL = re.compile(r"(://[^/@\s:]*):[^/@\s]+@")


def _read(value: object) -> object:
    if not isinstance(value, str) or not value.startswith(FROM_FILE):
        return value
    path = Path(value.removeprefix(FROM_FILE))
    try:
        return path.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot be read from {path}: {error}; give the name of a file that holds it") from error


Secret = Annotated[SecretStr, BeforeValidator(_read)]
HiddenText = Annotated[str, BeforeValidator(_read)]  # its field is declared with repr=False


def without_passwords(text: str) -> str:
    """A text whose URLs have `***` for their passwords."""
    return _IN_URL.sub(r"\1:***@", text)
