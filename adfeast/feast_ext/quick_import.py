"""Makes `import feast` take 2 s of CPU instead of 8, which every command and every program pays when it starts.

Of the 8 s, 3 go to typeguard, which compiles Feast's classes again at each import in order to check the types of their
arguments, and 2 to torch, which Feast imports for an answer's `to_tensor` alone. Feast's own command line, which has
imported Feast before anything of Adfeast's, `feast apply` among it, is not touched.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

import typeguard

TORCH = "feast.torch_wrapper"


def prepare() -> None:
    """Has the coming import of Feast leave out both; does nothing where Feast has been imported."""
    if "feast" in sys.modules:
        return
    wrapper = ModuleType(TORCH)
    wrapper.get_torch = lambda: importlib.import_module("torch")  # type: ignore[attr-defined]
    sys.modules[TORCH] = wrapper
    checked = typeguard.typechecked

    def typechecked(target: Any = None, **options: Any) -> Any:
        if target is not None and target.__module__.startswith("feast."):
            return target
        return checked(target, **options)

    typeguard.typechecked = typechecked
