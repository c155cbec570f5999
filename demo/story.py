"""The loop, step by step, on real parts; ends with nothing running."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from demo.report.results import Report
from demo.run import Days, Run, begin
from demo.steps import feedback, learning
from demo.steps import ground as platform
from infra.local.platform.platform import DEFAULT_HOME


def tell(
    console: Console,
    home: Path = DEFAULT_HOME,
    days: Days | None = None,
    keep_up: bool = False,
    force: bool = False,
) -> Report:
    """Plays the whole loop in `home`, whose platform forgets what it learnt before.

    The platform is down afterwards, whatever happens, unless `keep_up` is set and every step went well. With `force`
    the trained model is deployed also when it is not shown to be as good as the one that serves.

    Raises:
        AdfeastError: a step failed; the message says what to do.
    """
    run = begin(home, days or Days(), console, keep_up, force)
    done = False
    try:
        with run.stage:
            _loop(run)
        done = True
    finally:
        run.report.save(run.home / "report" / "report.json")
        if not (done and keep_up):
            run.platform.down()
    return run.report


def _loop(run: Run) -> None:
    platform.prepare(run)
    platform.start(run)
    platform.apply(run)
    platform.load_data(run)
    feedback.start_streams(run)
    feedback.publish_history(run)
    feedback.materialize(run, run.days.replayed[0])
    learning.first_model(run)
    feedback.replay(run, run.days.replayed)
    feedback.check_decay(run)
    artifact = learning.learn(run)
    learning.second_model(run, artifact)
    if run.days.judged:
        feedback.replay(run, run.days.judged)
    learning.evaluate(run, artifact)
    run.report.where = _where(run)


def _where(run: Run) -> dict[str, str]:
    programs = Path(sys.prefix) / "bin"
    restart = {} if run.report.kept_running else {"Start the platform again": f"{programs}/adfeast up"}
    return restart | {
        "Features, views, services (Feast UI)": f"cd {run.settings.feature_repo} && {programs}/feast ui",
        "Runs, models, versions (MLflow UI)": run.settings.mlflow_url,
        "Stream jobs (Flink UI)": run.settings.flink_rest,
        "Stop everything": f"{programs}/adfeast down",
    }
