"""What the parts of a platform have of whoever starts it."""

from __future__ import annotations

import os

import feast

from infra.local.platform.supervision import inherited


def test_no_part_inherits_the_folder_that_goes_with_the_process_which_imported_feast() -> None:
    of_feast = {name for name, value in os.environ.items() if "feast_metrics_" in value}
    assert of_feast, f"Feast {feast.__version__} names no folder of its own any more"
    assert not of_feast & inherited().keys()
    assert inherited()["PATH"] == os.environ["PATH"]
