"""Which loaded models may answer now, and taking the others out of Triton; MLflow still has them."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from adfeast import fleet
from adfeast.clock import Clock, SystemClock
from adfeast.contract.model_names import REGISTERED_MODEL, parse_triton_model
from adfeast.fleet import ALIVE_MS
from adfeast.ledger import Claim, Ledger
from adfeast.settings import Settings
from registry import journal
from registry.errors import DeployFailed, ModelInUse, NotLoaded
from registry.repository import Repository
from registry.triton import Triton
from registry.versions import production

log = logging.getLogger(__name__)
LEASE = "deploy"  # in the ledger: only one changes what Triton has loaded
WAIT_S = 60.0


def in_use(settings: Settings, now_ms: int) -> dict[str, str]:
    """Triton names of the models that a server may answer with, each with the reason."""
    found: dict[str, str] = {}
    # A server's last report is up to ALIVE_MS old: since then it may have gone over to anything that was production.
    for promotion in journal.newest_first(settings):
        if promotion.at_ms < now_ms - ALIVE_MS:
            break
        recently = f"it was production within the last {ALIVE_MS // 1000} s, and servers may not have reported since"
        found |= {name: recently for name in (promotion.before, promotion.name) if name}
    found |= {r.answers: f"server {r.server} answers with it" for r in fleet.servers(settings, now_ms) if r.answers}
    if serving := production(settings):
        found[serving] = "it is production: deploy another one first"
    return found


def unload(settings: Settings, names: Iterable[str], clock: Clock | None = None, wait_s: float = WAIT_S) -> list[str]:
    """Unloads models by their names in Triton; none of them when one may not be.

    Raises:
        NotLoaded: Triton has no such model.
        ModelInUse: a server answers with one, or production names it.
        RunInProgress: a deploy is at work.
        DeployFailed: Triton does not do it.
    """
    clock, wanted = clock or SystemClock(), sorted(set(names))
    with Ledger(settings, clock).lease(LEASE, wait_s) as held:
        journal.settle(settings, clock.now_ms())
        triton, repository = Triton(settings), Repository(settings.triton_repository)
        known = _known(settings, triton, repository)
        if unknown := [n for n in wanted if n not in known]:
            raise NotLoaded(f"{', '.join(unknown)}: no such model (there are: {', '.join(sorted(known)) or 'none'})")
        used = in_use(settings, clock.now_ms())
        if refused := [f"{name} stays loaded: {used[name]}" for name in wanted if name in used]:
            raise ModelInUse("; ".join(refused))
        left = [name for name in wanted if not _take_out(settings, triton, repository, name, held)]
    if left:
        raise DeployFailed(f"Triton still has {', '.join(left)}: look into its log and unload again")
    return wanted


def unload_version(settings: Settings, version: int, clock: Clock | None = None, wait_s: float = WAIT_S) -> list[str]:
    """`unload` of every flavour of a version that Triton has."""
    known = _known(settings, Triton(settings), Repository(settings.triton_repository))
    names = [name for name in known if _version(name) == version]
    if not names:
        there = ", ".join(sorted(known)) or "none"
        raise NotLoaded(f"version {version} of {REGISTERED_MODEL!r} is not loaded in any flavour (there are: {there})")
    return unload(settings, names, clock, wait_s)


def unload_others(
    settings: Settings, triton: Triton, repository: Repository, keep: set[str], now_ms: int, held: Claim
) -> None:
    """Unloads every published model but `keep` and those in use; one that does not go is left for the next deploy."""
    used = in_use(settings, now_ms)
    for name in sorted(_known(settings, triton, repository) - keep):
        if name in used:
            log.info("%s stays loaded: %s", name, used[name])
        else:
            _take_out(settings, triton, repository, name, held)


def _known(settings: Settings, triton: Triton, repository: Repository) -> set[str]:
    return triton.names() | repository.names() | {m.name for m in fleet.loaded_models(settings)}


def _take_out(settings: Settings, triton: Triton, repository: Repository, name: str, held: Claim) -> bool:
    held.check()
    if not triton.unload(name):
        log.warning("Triton still has %s; the next deploy unloads it", name)
        return False
    repository.remove(name)
    fleet.forget_loaded(settings, name)
    return True


def _version(name: str) -> int | None:
    try:
        return parse_triton_model(name)[0]
    except ValueError:
        return None  # named by an earlier Adfeast
