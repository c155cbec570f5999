"""The data scientist's notebook runs from top to bottom on a platform that has been used."""

from __future__ import annotations

import nbformat
from nbclient import NotebookClient

from adfeast.settings import ROOT
from tests.e2e.conftest import ADDED, Loop

NOTEBOOK = ROOT / "training" / "notebooks" / "point_in_time.ipynb"


def test_the_notebook_pulls_every_view_point_in_time(loop: Loop) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    pulled, known = [c.outputs[-1]["data"]["text/plain"] for c in notebook.cells if c.get("outputs")][-2:]
    assert ADDED in pulled
    assert all(view.name in known for view in loop.definitions.service_views(loop.settings.feature_service))
    of_view = {line.split()[0]: int(line.split()[-1]) for line in known.splitlines() if len(line.split()) == 2}
    added = next(v.name for v in loop.definitions.views.values() if ADDED in {f.name for f in v.features})
    assert of_view[added] > 0
