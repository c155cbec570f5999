"""Tables as text: as wide as the terminal, or wide enough for what is read by a program or from a file."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

WIDE = 200


def text(table: Table) -> Iterator[str]:
    """The table as one text, made when it is printed."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDE)
    with console.capture() as shown:
        console.print(table)
    yield shown.get().rstrip()
