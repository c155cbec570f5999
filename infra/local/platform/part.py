"""What the platform needs to know of a part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


def nothing() -> None:
    """The step of a part that has none."""


@dataclass(frozen=True)
class Part:
    """A supervised process.

    Attributes:
        name: its name in commands, logs and messages.
        command: absolute program and arguments; it must stay in the foreground.
        check: makes a real request; must raise NotReady while the part does not serve, and must not hang.
        address: where it listens, as people write it.
        prepare: writes its configuration before it starts; must be safe to run while it runs.
        setup: makes what others expect in it, once it is ready; must be safe to run again.
        ui: address of its web pages, if it has any.
        settings: fields of `adfeast.settings.Settings` that it decides.
        app: one of our own programs, which needs definitions or a model before it can run: started on demand
            and stopped before the rest.
    """

    name: str
    command: Sequence[str]
    check: Callable[[], None]
    address: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[], None] = nothing
    setup: Callable[[], object] = nothing
    ui: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    app: bool = False
    ready_s: float = 300.0
    stop_s: int = 20
