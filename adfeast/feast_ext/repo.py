"""Reads what a feature repo declares, without the registry and without most of Feast: what `adfeast plan` is asked for.

`import feast` brings PyTorch, a web server and a run-time type checker that compiles Feast's own modules again: ten
seconds of a core. Declaring needs none of them, so a process that has not imported Feast yet gets a `feast` package
whose names are imported from their own modules when they are asked for. Such a process only reads and compares.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from adfeast.contract.definitions import Definitions
from adfeast.errors import DefinitionError
from adfeast.feast_ext import quiet
from adfeast.settings import Settings

T = TypeVar("T")
# Name in `feast` to the module that defines it.
NAMES = {
    "BatchFeatureView": "batch_feature_view",
    "Entity": "entity",
    "FeatureService": "feature_service",
    "FeatureView": "feature_view",
    "Field": "field",
    "FileSource": "infra.offline_stores.file_source",
    "KafkaSource": "data_source",
    "KinesisSource": "data_source",
    "PushSource": "data_source",
    "RequestSource": "data_source",
    "StreamFeatureView": "stream_feature_view",
    "ValueType": "value_type",
}


def declared(settings: Settings) -> Definitions:
    """What `feast apply` would make of `settings.feature_repo` now.

    Raises:
        DefinitionError: it cannot be read, or a definition is not usable.
    """
    import_lightly()
    from adfeast.feast_ext.protos import to_protos
    from adfeast.feast_ext.registry import parse
    from adfeast.feast_ext.sources import declaring

    quiet.install()  # after Feast, which sets a filter of its own for its warnings
    files = sorted(settings.feature_repo.glob("*.py"))
    if not files:
        raise DefinitionError(f"feature_repo={settings.feature_repo} has no Python files: is it the right folder?")
    with declaring(settings), imported_afresh(settings.feature_repo):
        modules = [importlib.import_module(file.stem) for file in files]
        return parse(settings.project, to_protos(o for module in modules for o in vars(module).values()))


@contextmanager
def imported_afresh(repo: Path) -> Iterator[None]:
    """Lets a repo's modules be imported by their bare names, and forgets them afterwards.

    So another copy of the repo can be read by the same process.
    """
    names = {file.stem for file in repo.glob("*.py")}
    hidden = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.path.insert(0, str(repo))
    try:
        yield
    finally:
        sys.dont_write_bytecode = bytecode
        sys.path.remove(str(repo))
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(hidden)


class _Lazy(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name not in NAMES:
            raise AttributeError(f"feast.{name} is not there while a repo is only read: add it to NAMES in {__name__}")
        return getattr(importlib.import_module(f"feast.{NAMES[name]}"), name)


def import_lightly() -> None:
    """Prepares this process to declare without most of Feast; does nothing where Feast is imported already."""
    if "feast" in sys.modules:
        return
    spec = importlib.machinery.PathFinder.find_spec("feast")
    if spec is None:
        raise DefinitionError("feast is not installed in this environment")
    package = _Lazy("feast")
    package.__path__ = list(spec.submodule_search_locations or [])
    sys.modules["feast"] = package
    # Feast marks its classes with it; `feast apply` checks the types all the same.
    checker = types.ModuleType("typeguard")
    checker.typechecked = _unchanged  # type: ignore[attr-defined]
    sys.modules.setdefault("typeguard", checker)


def _unchanged(marked: T | None = None, **_options: object) -> T | Callable[[T], T]:
    return marked if marked is not None else lambda other: other
