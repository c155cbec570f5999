"""Tables as lines of text: nothing is cut, whatever reads them, and `grep` and `awk` find what they look for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def columns(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines, each column as wide as its widest cell; the first line is the head."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        yield "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
