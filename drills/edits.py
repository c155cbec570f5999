"""What a feature engineer would type: each edit is made in the files of a feature repository."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from drills.errors import DrillError

Edit = Callable[[Path], None]
WINDOW, COLUMN, VIEW, ASKED, EVENT_COLUMN = (
    "drill_shown_2m", "drill_constant", "drill_ad_reach", "drill_asked", "drill_viewport",
)  # fmt: skip
REMOVED = "ad_history"  # a batch view that is there from the beginning


def _replace(repo: Path, file: str, old: str, new: str) -> None:
    text = (repo / file).read_text()
    if old not in text:
        raise DrillError(f"{file} has no {old!r}: the drill's edits no longer fit the repository")
    (repo / file).write_text(text.replace(old, new, 1))


def add_a_window(repo: Path) -> None:
    """One line in a stream view."""
    line = f'        windowed("{WINDOW}", "count", "event_id", minutes(2), seconds(10)),\n'
    _replace(repo, "stream_views.py", "    features=[\n", "    features=[\n" + line)


def add_a_column(repo: Path) -> None:
    """A column of a batch view's query, and its feature."""
    _replace(repo, "batch_views.py", "SELECT user_id, hash_id", f"SELECT user_id, 1L AS {COLUMN}, hash_id")
    line = f'        feature("{COLUMN}", Int64, "sparse", hash_size=16, description="one"),\n'
    _replace(repo, "batch_views.py", "    features=[\n", "    features=[\n" + line)


def add_a_view(repo: Path) -> None:
    """A whole stream view, taken by the service."""
    with (repo / "stream_views.py").open("a") as file:
        file.write(
            f'\n{VIEW} = stream_view(\n    "{VIEW}",\n    entity=ad,\n    events=clicks,\n    features=[\n'
            f'        windowed("{VIEW}_3m", "count", "event_id", minutes(3), seconds(10)),\n    ],\n'
            '    max_age=days(1),\n    description="how often an ad was clicked just now",\n)\n'
        )
    _replace(repo, "services.py", "\n\nctr_v1", f"\nfrom stream_views import {VIEW}\n\nctr_v1")
    _replace(repo, "services.py", "    views=[\n", f"    views=[\n        {VIEW},\n")


def add_a_request_feature(repo: Path) -> None:
    """Something else that the ad server says."""
    line = f'        feature("{ASKED}", Int64, "sparse", hash_size=16, description="asked"),\n'
    _replace(repo, "request_features.py", "    features=[\n", "    features=[\n" + line)


def add_an_event_column(repo: Path) -> None:
    """A column that older senders do not fill."""
    old = '        "attempt_id": optional('
    _replace(repo, "sources.py", old, f'        "{EVENT_COLUMN}": optional("int", 0),\n{old}')


def take_out_of_the_service(repo: Path, view: str = REMOVED) -> None:
    """The view is made on, but new models do not take it."""
    _replace(repo, "services.py", f"        {view},\n", "")
    _replace(repo, "services.py", f", {view}", "")


def remove_the_view(repo: Path, view: str = REMOVED, file: str = "batch_views.py") -> None:
    """Its definition goes too."""
    text, found = re.subn(rf"\n\n{view} = \w+_view\(.*?\n\)\n", "\n", (repo / file).read_text(), flags=re.DOTALL)
    if not found:
        raise DrillError(f"{file} declares no {view}")
    (repo / file).write_text(text)
