"""From logged snapshots to a model that answers: bootstrap, labels, training, deployment, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc

from adfeast.clock import to_datetime
from adfeast.contract.events import REQUEST_ID
from adfeast.contract.model_names import triton_model
from adfeast.contract.signature import USER
from demo.report import judge
from demo.report.results import Compared, Percentiles
from demo.run import Run, midnight
from demo.stage import wait_until
from demo.traffic.archive import click_rate
from demo.traffic.open_bandit import Auction
from demo.traffic.replay import request_of
from registry import deploy
from registry import versions as models
from registry.errors import NotBetter
from registry.incumbent import fetch
from serving.proto import adfeast_pb2_grpc
from training.data import label_join, validate
from training.data.completeness import GRACE
from training.model import bootstrap, train
from training.model.incumbent import Incumbent

FORCED = "the demo was started with --force"
BEST = 5  # candidates shown of a compared request
SWITCH_S = 30.0
LABEL_WINDOW = timedelta(minutes=30)  # far beyond the 99th percentile of the click delays
# At midnight the labels of the last minutes are not final: their windows are open, or clicks may be on their way.
OPEN = LABEL_WINDOW + GRACE
NOTES = {"lr": "logistic regression, last fifth of the log", "dlrm": "TorchRec DLRM, last fifth of the log"}


def first_model(run: Run) -> None:
    """The click rate of the history as a model, so that there is something to serve; starts the prediction server."""
    what = "Registered and deployed a model that answers the history's click rate; started the prediction server."
    with run.stage.step("First model", what) as step:
        rate = click_rate(run.settings)
        artifact = bootstrap.run(run.settings, rate, run.home / "artifacts" / "bootstrap")
        step.facts |= {"click rate": rate, "model": _ship(run, artifact.path)}
        run.platform.start("prediction_server")


def learn(run: Run) -> train.Artifact:
    """Label join, the check of the training set, both models and what serves; returns the artifact."""
    first, last = run.days.replayed
    what = "Joined impressions, snapshots and clicks after the label window, and checked the training set."
    with run.stage.step("Labels", what) as step:
        end = midnight(last, 1) - OPEN
        joined = label_join.run(run.settings, midnight(first), end, LABEL_WINDOW, "demo", run.clock)
        checked = validate.run(run.settings, joined.path, run.clock)
        step.facts |= {what.replace("_", " "): n for what, n in joined.counts.items()}
        step.facts["expectations met"] = checked.expectations
    what = (
        "Trained logistic regression and a TorchRec DLRM on what was served, and compared with the model that serves."
    )
    with run.stage.step("Training", what) as step, TemporaryDirectory() as folder:
        serving = fetch(run.settings, Path(folder))
        incumbent = Incumbent(serving, Path(folder)) if serving else None
        artifact = train.run(run.settings, joined.path, run.home / "artifacts" / "trained", incumbent=incumbent)
        if verdict := artifact.metrics["verdict"]:
            run.report.verdict = verdict["reason"]
        for part, n in artifact.metrics["parts"].items():
            step.facts[f"{part}".replace("_", " ")] = f"{n['rows']} rows, {n['clicks']} clicks"
    return artifact


def second_model(run: Run, artifact: train.Artifact) -> None:
    """Registers, and deploys what is shown to be as good as what serves, or anything when the run is told to.

    The same requests are answered before and after by the same server process.
    """
    what = "Registered the trained model; deployed it if it was shown to be as good as the one that serves."
    with run.stage.step("Deployment", what) as step:
        version = models.register(run.settings, artifact.path)
        last = run.days.replayed[1]
        samples = list({a.ad_ids: a for a in run.data.of_days(last, last)}.values())  # the last of each campaign
        before = _ask(run, samples)
        try:
            name = deploy.deploy(run.settings, version, force=FORCED if run.force else "")
        except NotBetter:
            run.report.outcome = f"registered as version {version} and not deployed: {before[0][0]} goes on serving"
            step.facts["outcome"] = run.report.outcome
            return

        def waiting() -> str | None:
            answering = _ask(run, samples[:1])[0][0]
            return None if answering == name else f"Predict still answers with {answering}, not with {name}"

        wait_until(waiting, SWITCH_S)
        for a, (old, was), (new, now) in zip(samples, before, _ask(run, samples), strict=True):
            best = sorted(range(len(now)), key=lambda n: -now[n])[:BEST]
            rows = [(a.ad_ids[n], was[n], now[n]) for n in best]
            user = a.impression[run.definitions.entities[USER]]
            run.report.compared.append(Compared(user, len(a.ad_ids), old, new, rows))
        verdict = artifact.metrics["verdict"]
        how = "deployed" if verdict is None or verdict["passes"] else "deployed by force, as the journal says"
        run.report.outcome = f"{how}: {name} serves"
        step.facts["outcome"] = run.report.outcome


def evaluate(run: Run, artifact: train.Artifact) -> None:
    """Everything that was served against the clicks that came; fills the report's figures."""
    with run.stage.step("Evaluation", "Compared the served scores with the clicks that came, with intervals."):
        report, served = run.report, [s for r in run.replays for s in r.served]
        for name in sorted({s.model_version for s in served}):
            mine = [s for s in served if s.model_version == name]
            times = sorted(to_datetime(s.time_ms).date() for s in mine)
            note = f"as served, {times[0]:%d %B}" + (f" to {times[-1]:%d %B}" if times[-1] != times[0] else "")
            result, bins = judge.judge_served(name, note, mine)
            report.models.append(result)
            if name != triton_model(1):  # it says the same of everybody
                report.calibration[f"{name}, {note}"] = bins
            report.predict_ms[name] = Percentiles.of([s.latency_ms for s in mine])
        report.models += judge.judge_held_out(artifact.path, NOTES)
        report.freshness_ms = {view: Percentiles.of(ms) for view, ms in sorted(run.freshness_ms.items())}
        report.counts = {
            **run.counts,
            "auctions replayed": len(served),
            "candidates scored": sum(r.candidates for r in run.replays),
            "calls repeated": sum(r.retries for r in run.replays),
        }


def _ship(run: Run, artifact: Path) -> str:
    """What `adfeast model register` and `adfeast model deploy` do; returns the model's name in Triton."""
    return deploy.deploy(run.settings, models.register(run.settings, artifact))


def _ask(run: Run, samples: Sequence[Auction]) -> list[tuple[str, list[float]]]:
    """(model version, scores) of the samples, each asked anew under an id of the server's choosing."""
    answers = []
    with grpc.insecure_channel(run.settings.grpc_address) as channel:
        stub = adfeast_pb2_grpc.PredictionStub(channel)  # type: ignore[no-untyped-call]
        for a in samples:
            request = request_of(a, run.definitions.entities[USER])
            request.ClearField(REQUEST_ID)
            answer = stub.Predict(request, timeout=5, wait_for_ready=True)
            answers.append((answer.model_version, list(answer.scores)))
    run.count(snapshots=len(samples))
    return answers
