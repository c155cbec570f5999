"""The folders that Triton loads models from, changed by renames only.

Triton loads all that lies there when it starts, good or bad, and hangs on half a folder. So a folder is filled, and
deleted, next to the repository in `<repository>.incoming`, which is on the same file system. Only a holder of the
deploy lease changes either.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adfeast.contract.model_names import REGISTERED_MODEL


class Repository:
    """The folders of the published models by their names in Triton."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._incoming = folder.with_name(folder.name + ".incoming")
        self._replaced = self._incoming / "replaced"
        folder.mkdir(parents=True, exist_ok=True)

    def names(self) -> set[str]:
        """Every published model that lies there, loaded or not."""
        return {p.name for p in self.folder.iterdir() if p.name.startswith(f"{REGISTERED_MODEL}-")}

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """A folder for downloads; gone at the end, and with it what a killed process has left."""
        self._heal()
        self._replaced.mkdir(parents=True)
        with tempfile.TemporaryDirectory(dir=self._incoming) as folder:
            yield Path(folder)

    def holds(self, new: Path, name: str) -> bool:
        """Whether the files of `new` are there under this name."""
        target = self.folder / name
        files = [p.relative_to(new) for p in new.rglob("*") if p.is_file()]
        return all((target / f).is_file() and (target / f).read_bytes() == (new / f).read_bytes() for f in files)

    def put(self, new: Path, name: str) -> None:
        """Moves `new` in; what stood there under this name is set aside."""
        target = self.folder / name
        if target.exists():
            target.rename(self._replaced / name)
        new.rename(target)

    def take_back(self, name: str) -> bool:
        """Undoes `put`; returns whether something stood there before."""
        self.remove(name)
        aside = self._replaced / name
        if not aside.exists():
            return False
        aside.rename(self.folder / name)
        return True

    def remove(self, name: str) -> None:
        """Deletes a model's folder, if it is there."""
        target = self.folder / name
        if not target.exists():
            return
        self._incoming.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._incoming) as grave:
            target.rename(Path(grave) / name)

    def _heal(self) -> None:
        if self._replaced.exists():
            for aside in self._replaced.iterdir():
                if not (self.folder / aside.name).exists():  # killed between the two renames of `put`
                    aside.rename(self.folder / aside.name)
        shutil.rmtree(self._incoming, ignore_errors=True)
