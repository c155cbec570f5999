"""Who put which version into production and when: an append-only journal, because MLflow keeps no history of an alias.

One JSON line a promotion, written and flushed to disk after the alias was set. There is one writer (`registry.deploy`).
"""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from adfeast.settings import Settings
from registry.errors import RegistryError


@dataclass(frozen=True)
class Promotion:
    """One change of the production alias.

    Attributes:
        at_ms: milliseconds since 1970, UTC.
        who: the operating system's user.
        before: the version that served until then, None for the first.
    """

    at_ms: int
    who: str
    version: int
    before: int | None
    flavour: str
    signature_hash: str


def journal(settings: Settings) -> Path:
    """The file it stands in."""
    return settings.local / "state" / "promotions.jsonl"


def user() -> str:
    """The operating system's user, or its number where it has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def append(settings: Settings, promotion: Promotion) -> None:
    """Adds one line and waits until the disk has it."""
    path = journal(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(asdict(promotion)) + "\n")
        file.flush()
        os.fsync(file.fileno())


def promotions(settings: Settings) -> Iterator[Promotion]:
    """All promotions, oldest first.

    Raises:
        RegistryError: a line is not a promotion; the message names it.
    """
    path = journal(settings)
    if not path.exists():
        return
    for n, line in enumerate(path.read_text().splitlines(), 1):
        try:
            yield Promotion(**json.loads(line))
        except (ValueError, TypeError) as error:
            raise RegistryError(f"line {n} of {path} is not a promotion: {error}") from error
