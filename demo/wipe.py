"""Makes the platform in a home forget everything it learnt; programs, downloads, caches and logs stay."""

from __future__ import annotations

import shutil

from adfeast.settings import settings_file
from infra.local.platform.platform import Platform

LEARNT = ("state", "lake", "artifacts")


def wipe(platform: Platform) -> None:
    """Stops the platform if it runs and deletes its data: topics, stores, registry, models, lake."""
    platform.down()
    home = platform.home
    for folder in [*(home.root / name for name in LEARNT), *(home.data(part) for part in platform.parts)]:
        shutil.rmtree(folder, ignore_errors=True)
    settings_file().unlink(missing_ok=True)
    home.make()
