"""Where tables of ads lie. A link says which one is current: it is replaced in one step, and with it what is read."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

OLDEST_TURN_S = 10.0


def current_file(folder: Path, project: str) -> Path:
    """The link to the table that is current."""
    return folder / f"{project}.current"


def table_file(folder: Path, project: str, layout: str, made_ms: int) -> Path:
    """A new table's file."""
    return folder / f"{project}-{layout}-{made_ms}.ads"


def offsets_file(table: Path) -> Path:
    """Beside a table: from where on the feature topics have still to be read into it."""
    return table.with_suffix(".offsets")


def sign_file(folder: Path, project: str) -> Path:
    """The file that is as old as the last turn of whoever fills the tables; it holds what keeps it from being ready."""
    return folder / f"{project}.turn"


@dataclass(frozen=True)
class Sign:
    """What the keeper of a table last said.

    Attributes:
        problem: what keeps servers from reading everything out of the table; empty if nothing does.
        size: of the table, for people.
    """

    age_s: float
    problem: str
    size: str = ""

    @property
    def alive(self) -> bool:
        return self.age_s <= OLDEST_TURN_S

    @property
    def text(self) -> str:
        """What is wrong, empty if nothing is."""
        return self.problem if self.alive else f"the last turn of its keeper is {self.age_s:.0f} s old"


def sign_of(folder: Path, project: str) -> Sign | None:
    """None where there never was a keeper."""
    file = sign_file(folder, project)
    try:
        age_s, said = time.time() - file.stat().st_mtime, file.read_text().splitlines()
    except FileNotFoundError:
        return None
    return Sign(age_s, *said[:2]) if said else None


def point(folder: Path, project: str, table: Path) -> None:
    """Makes a table the current one, and takes away the others, which stay with those that have them mapped."""
    link = current_file(folder, project)
    new = link.with_suffix(".next")
    new.unlink(missing_ok=True)
    new.symlink_to(table.name)
    os.replace(new, link)
    for old in folder.glob(f"{project}-*"):
        if old.suffix in (".ads", ".new", ".offsets") and old.stem != table.stem:
            old.unlink(missing_ok=True)
