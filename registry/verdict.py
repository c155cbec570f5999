"""What came of comparing a version with the one that served: kept with it as tags, and asked before it is deployed.

Training compares and writes the verdict into the artifact.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from adfeast.contract.model_names import parse_triton_model
from registry.errors import NotBetter

if TYPE_CHECKING:
    from registry.versions import Version

log = logging.getLogger(__name__)
INCUMBENT, PASSES, VERDICT, REASON = "incumbent", "verdict_passes", "verdict", "verdict_reason"


def tags(verdict: dict[str, Any] | None) -> dict[str, str]:
    """The tags of a version, from `verdict` in its metrics.json; none when it was not compared."""
    if not verdict:
        return {}
    passes = "yes" if verdict["passes"] else "no"
    return {INCUMBENT: verdict["incumbent"], PASSES: passes, VERDICT: verdict["verdict"], REASON: verdict["reason"]}


def require_better(found: Version, serving: str, force: str = "") -> None:
    """Refuses a version that was compared with what served and did not pass.

    One that was never compared (a first one, say), one that serves already, and one that is forced may be deployed.

    Args:
        serving: Triton name of what is production, empty when nothing is.
        force: why it is to be deployed all the same.

    Raises:
        NotBetter: with the figures.
    """
    against, reason = found.tags.get(INCUMBENT), found.tags.get(REASON, "")
    if against is None or (serving and parse_triton_model(serving)[0] == found.version):
        return
    if serving and against != serving:
        log.info("version %d was compared with %s, but %s serves", found.version, against, serving)
    if found.tags.get(PASSES) == "yes":
        return
    if not force:
        raise NotBetter(found.version, reason)
    log.info("version %d is deployed because of %r, although it is %s", found.version, force, reason)
