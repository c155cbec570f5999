"""Whether the loops turn: what `adfeast status` says beyond "each part answers".

Each check is small and asks the real thing. A loop that nobody has started is not judged: before the first definitions,
the first submit and the first deploy nothing is wrong.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from adfeast import watermarks
from adfeast.access import triton_authorization
from adfeast.clock import Clock, to_datetime
from adfeast.contract.definitions import Definitions
from adfeast.contract.model_names import SIGNATURE_PARAMETER
from adfeast.errors import AdfeastError, DefinitionError
from adfeast.feast_ext.registry import load_definitions
from adfeast.fleet import Report, servers
from adfeast.ledger import Ledger
from adfeast.settings import Settings
from infra.local.platform.web import ask

if TYPE_CHECKING:
    from streaming.health import ViewHealth

SERVER = "prediction_server"  # the parts that are one begin so
MOST_BEHIND = 100_000  # messages: a burst of some seconds is no fault
OLDEST_MARK_S = 5.0
OLDEST_PASS_S = 30.0
OLDEST_LOOK_S = 90.0
OLDEST_WATERMARK_S = 120.0


@dataclass(frozen=True)
class Check:
    """What one check found; `ok` is None for what nobody has started."""

    name: str
    ok: bool | None
    text: str


def checks(settings: Settings, clock: Clock, running: Collection[str]) -> list[Check]:
    """All checks, in the order of the loops.

    Args:
        running: names of the parts that run (infra/local/parts/apps.py).
    """
    try:
        definitions = load_definitions(settings)
    except DefinitionError:
        return [Check("definitions", None, "not applied yet: run `feast apply` in feature_repo/")]
    reports = servers(settings, clock.now_ms())
    found = [Check("definitions", True, f"{len(definitions.identities)} features in {len(definitions.views)} views")]
    asked: list[tuple[str, Callable[[], Iterator[Check]]]] = [
        ("stream", partial(stream, settings, clock, definitions, running)),
        ("heartbeat", partial(heartbeat, settings, running)),
        ("archive", partial(archive, settings, clock, running)),
        ("servers", partial(serving, reports, running)),
        ("model", partial(models, settings, reports)),
        ("model keeper", partial(keeper, settings, running)),
        ("table of ads", partial(ad_table, settings, running)),
        ("batch", partial(batch, settings, clock, definitions)),
    ]
    for name, check in asked:
        try:
            found += check()
        except (AdfeastError, SQLAlchemyError, OSError) as error:
            found.append(Check(name, False, str(error).splitlines()[0]))
    return found


def stream(settings: Settings, clock: Clock, definitions: Definitions, running: Collection[str]) -> Iterator[Check]:
    """The jobs run as planned, neither they nor the writer are far behind, and each view is as fresh as it promises."""
    from streaming.flink_rest import FlinkRest
    from streaming.health import read_health
    from streaming.plan import make_plan
    from streaming.reconcile import last_pass
    from streaming.running import running as running_jobs
    from streaming.status import read_status

    plan = make_plan(definitions, settings)
    started = {name for name in running if name in ("reconciler", "redis_writer") or name.startswith(SERVER)}
    if "flink_jobmanager" in running and not started:
        started = set(running_jobs(settings.project, FlinkRest(settings.flink_rest)))
    if not started:
        yield Check("stream", None, "not started")
        return
    found = read_status(plan, settings)
    for job, state in found.jobs.items():
        yield Check(f"job {job}", state == "RUNNING", state)
    for job, text in found.former.items():
        yield Check(f"job {job}", None, text)
    for reader, topics in found.behind.items():
        behind = sum(topics.values())
        yield Check(f"lag of {reader}", behind <= MOST_BEHIND, f"{behind} messages behind")
    if "reconciler" in running:
        age_s, problem = _age_s(last_pass(settings.local)), ""
        if math.isfinite(age_s):
            problem = last_pass(settings.local).read_text()
        said = f"{problem.splitlines()[0]} (adfeast logs reconciler)" if problem else f"last pass {age_s:.0f} s ago"
        yield Check("reconciler", not problem and age_s <= OLDEST_PASS_S, said)
    yield from (view(v, running) for v in read_health(plan, definitions, settings, found.behind, clock.now_ms()))


def view(found: ViewHealth, running: Collection[str]) -> Check:
    """A view is fresh, judged where live time marks make it so, and few of its events are late or not readable."""
    stale = found.stale and "heartbeat" in running
    return Check(f"view {found.view}", not stale and not found.refused_too_often, found.text)


def heartbeat(settings: Settings, running: Collection[str]) -> Iterator[Check]:
    """Time marks are young, so that values expire when events stop."""
    from streaming.marks import last_mark

    if "heartbeat" not in running:
        yield Check("heartbeat", None, "not started: values do not expire while no events come (right in a replay)")
        return
    age_s = _age_s(last_mark(settings.local))
    yield Check("heartbeat", age_s <= OLDEST_MARK_S, f"last time mark {age_s:.0f} s ago")


def archive(settings: Settings, clock: Clock, running: Collection[str]) -> Iterator[Check]:
    """What is known of the archive's completeness is young, and near the wall clock where marks make it so."""
    known = watermarks.published(settings)
    if not known or "reconciler" not in running:
        yield Check("archive", None, "nobody publishes how far it is: `adfeast start reconciler` does")
        return
    for topic, (ms, updated_ms) in sorted(known.items()):
        said_s, behind_s = (clock.now_ms() - updated_ms) / 1000, (clock.now_ms() - ms) / 1000
        late = "heartbeat" in running and behind_s > OLDEST_WATERMARK_S
        text = f"complete until {to_datetime(ms):%Y-%m-%d %H:%M:%S}, said {said_s:.0f} s ago"
        yield Check(f"archive of {topic}", said_s <= OLDEST_WATERMARK_S and not late, text)


def serving(reports: list[Report], running: Collection[str]) -> Iterator[Check]:
    """Every server that is alive has a model, no problem, answers from everything, and lost no snapshot."""
    if not reports:
        missing = any(name.startswith(SERVER) for name in running)
        yield Check("servers", False if missing else None, "none reports" if missing else "not started")
    for r in reports:
        text = (
            f"{r.answers or 'no model'} answers, contract {r.contract[:12]}, "
            f"snapshots {r.acknowledged} acknowledged, {r.lost} lost, {r.refused} events refused"
        )
        if answers := sum(r.rungs.values()):
            shares = ", ".join(f"{n / answers:.1%} {rung}" for rung, n in r.rungs.items())
            text += f", last minute {shares}"
        text += "".join(f"; {problem}" for problem in (*r.away, *r.problems))
        well = bool(r.answers) and not (r.problems or r.away or r.lost)
        yield Check(f"server {r.server}", well, text)


def models(settings: Settings, reports: list[Report]) -> Iterator[Check]:
    """Each model that answers somewhere answers one inference over zeros."""
    for name in sorted({r.answers for r in reports if r.answers}):
        begin = time.monotonic()
        probe(settings, name)
        yield Check(f"model {name}", True, f"answers a probe in {(time.monotonic() - begin) * 1000:.0f} ms")


def keeper(settings: Settings, running: Collection[str]) -> Iterator[Check]:
    """Somebody loads again what is dead, and nothing is."""
    from registry.keeper import last_look

    if "model_keeper" not in running:
        yield Check("model keeper", None, "not started: a model whose process dies stays dead")
        return
    file = last_look(settings.local)
    age_s, problem = _age_s(file), ""
    if math.isfinite(age_s):
        problem = file.read_text()
    text = problem.splitlines()[0] if problem else f"last look {age_s:.0f} s ago"
    yield Check("model keeper", not problem and age_s <= OLDEST_LOOK_S, text)


def ad_table(settings: Settings, running: Collection[str]) -> Iterator[Check]:
    """The servers of this machine find ads in the table, as they are in the stores."""
    from serving.ads.files import sign_of

    if "ad_table" not in running or settings.ad_table is None:
        yield Check("table of ads", None, "not started: servers read ads from Redis and DynamoDB")
        return
    sign = sign_of(settings.ad_table, settings.project)
    if sign is None or sign.text:
        yield Check("table of ads", False, sign.text if sign else "its keeper has not begun")
    else:
        yield Check("table of ads", True, sign.size)


def probe(settings: Settings, model: str) -> None:
    """One inference of one row of zeros, of the shapes that Triton says the model has.

    Raises:
        NotReady: Triton, or the model, does not answer.
    """
    triton, login = settings.triton_http, triton_authorization(settings)
    url = f"{triton if '://' in triton else f'http://{triton}'}/v2/models/{model}"
    inputs = []
    for i in json.loads(ask(url, authorization=login))["inputs"]:
        shape = [max(1, n) if n < 0 else n for n in i["shape"]]
        inputs.append({"name": i["name"], "datatype": i["datatype"], "shape": shape, "data": [0] * math.prod(shape)})
    config = json.loads(ask(f"{url}/config", authorization=login))
    parameters = {SIGNATURE_PARAMETER: config["parameters"][SIGNATURE_PARAMETER]["string_value"]}
    ask(f"{url}/infer", {"inputs": inputs, "parameters": parameters}, authorization=login)


def batch(settings: Settings, clock: Clock, definitions: Definitions) -> Iterator[Check]:
    """No interval of a batch view, as it is made now, has failed and waits to be made again."""
    ledger = Ledger(settings, clock)
    for view in (v for v in definitions.views.values() if v.kind == "batch"):
        runs = [r for r in ledger.runs(subject=view.name) if r.digest == view.digest]
        failed = [r for r in runs if r.status == "failed"]
        if failed:
            ends = ", ".join(r.end.isoformat() for r in failed[:3])
            yield Check(f"batch {view.name}", False, f"{len(failed)} intervals failed ({ends}): {failed[0].error}")
        elif done := [r.end for r in runs if r.status == "done"]:
            yield Check(f"batch {view.name}", True, f"made until {max(done):%Y-%m-%d %H:%M}")
        else:
            yield Check(f"batch {view.name}", None, "no interval made yet")


def _age_s(file: Path) -> float:
    return time.time() - file.stat().st_mtime if file.exists() else math.inf
