"""What may be deployed after a comparison; the tags are those that a version has in MLflow."""

import pytest

from adfeast.contract.model_names import triton_model
from registry.errors import NotBetter
from registry.verdict import require_better, tags
from registry.versions import Version

SERVING = triton_model(3)


def version(passes: bool | None) -> Version:
    verdict = {"incumbent": SERVING, "passes": passes, "verdict": "worse", "reason": "worse than it by 0.01"}
    return Version(7, "run", (), tags(verdict if passes is not None else None), 0)


def test_a_version_that_did_not_pass_is_refused_with_its_figures() -> None:
    with pytest.raises(NotBetter, match=r"version 7 is not deployed, it is worse than it by 0\.01.*--force") as raised:
        require_better(version(False), SERVING)
    assert (raised.value.version, raised.value.reason) == (7, "worse than it by 0.01")
    with pytest.raises(NotBetter):
        require_better(version(False), "")


def test_a_version_that_passed_or_was_never_compared_or_is_forced_or_serves_already_is_deployed() -> None:
    require_better(version(True), SERVING)
    require_better(version(None), SERVING)
    require_better(version(False), SERVING, "we know better")
    require_better(version(False), triton_model(7, "torchrec_int8"))
