"""Files that are there whole or not at all, for whoever reads them while they are written."""

from __future__ import annotations

import os
from pathlib import Path


def replace_text(file: Path, text: str) -> None:
    """Writes a file whole or not at all; its folder must be there."""
    new = file.with_suffix(f"{file.suffix}.part")
    new.write_text(text)
    os.replace(new, file)
