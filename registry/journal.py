"""Who put which model into production and when: one MLflow run a promotion, as MLflow keeps no history of an alias.

A promotion is written before production moves and finished after it has, so that a deploy killed in between is told
right: an unfinished one has happened if production is what it says. Only a holder of the deploy lease writes.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from adfeast.contract.model_names import REGISTERED_MODEL
from adfeast.settings import Settings
from registry.errors import RegistryError
from registry.tracking import client, experiment
from registry.versions import production

EXPERIMENT = f"{REGISTERED_MODEL}-promotions"
PAGE = 200
_NUMBER = "number"  # of the promotion, padded so that text sorts as it: two may have the same time
_UNFINISHED, _DONE, _GIVEN_UP = "RUNNING", "FINISHED", "KILLED"


@dataclass(frozen=True)
class Promotion:
    """One change of what is production.

    Attributes:
        at_ms: milliseconds since 1970, UTC.
        who: the operating system's user.
        name: in Triton; `version` and `flavour` together.
        before: Triton name of what served until then, empty for the first.
        forced: why it was deployed without being shown to be as good, empty where it was not forced.
    """

    at_ms: int
    who: str
    version: int
    flavour: str
    name: str
    before: str
    signature_hash: str
    forced: str = ""


def user() -> str:
    """The operating system's user, or its number where it has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def begin(settings: Settings, promotion: Promotion) -> str:
    """Writes what is about to happen; returns the run that `end` finishes."""
    mlflow = client(settings)
    last = next(_runs(mlflow, "DESC"), None)
    number = int(last.data.tags[_NUMBER]) + 1 if last else 1
    tags = {key: str(value) for key, value in asdict(promotion).items() if key != "at_ms"}
    made = mlflow.create_run(
        experiment(mlflow, EXPERIMENT),
        start_time=promotion.at_ms,
        tags=tags | {_NUMBER: f"{number:010d}"},
        run_name=promotion.name,
    )
    return str(made.info.run_id)


def end(settings: Settings, run_id: str, now_ms: int) -> None:
    """Says that production has moved."""
    client(settings).set_terminated(run_id, _DONE, now_ms)


def settle(settings: Settings, now_ms: int) -> None:
    """Finishes, or gives up, what a deploy that was killed has left open."""
    mlflow, serving = client(settings), production(settings)
    for run in _runs(mlflow, "ASC", f"attributes.status = '{_UNFINISHED}'"):
        happened = run.data.tags["name"] == serving
        mlflow.set_terminated(run.info.run_id, _DONE if happened else _GIVEN_UP, now_ms)


def promotions(settings: Settings) -> Iterator[Promotion]:
    """All promotions, newest last; read page by page."""
    yield from _told(settings, "ASC")


def newest_first(settings: Settings) -> Iterator[Promotion]:
    """All promotions, newest first; read page by page."""
    yield from _told(settings, "DESC")


def _told(settings: Settings, order: str) -> Iterator[Promotion]:
    mlflow, serving = client(settings), production(settings)
    for run in _runs(mlflow, order):
        status = run.info.status
        if status == _DONE or (status == _UNFINISHED and run.data.tags["name"] == serving):
            yield _promotion(run)


def _runs(mlflow: Any, order: str, only: str = "") -> Iterator[Any]:
    found = mlflow.get_experiment_by_name(EXPERIMENT)
    token = None
    while found:
        page = mlflow.search_runs(
            [found.experiment_id], only, max_results=PAGE, order_by=[f"tags.{_NUMBER} {order}"], page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


def _promotion(run: Any) -> Promotion:
    tags = run.data.tags
    try:
        return Promotion(
            at_ms=int(run.info.start_time),
            version=int(tags["version"]),
            forced=tags.get("forced", ""),
            **{key: tags[key] for key in ("who", "flavour", "name", "before", "signature_hash")},
        )
    except (KeyError, ValueError) as error:
        raise RegistryError(
            f"run {run.info.run_id} of experiment {EXPERIMENT!r} in MLflow is not a promotion ({error}): delete "
            "it there"
        ) from error
