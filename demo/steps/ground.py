"""From an empty machine to running servers, applied definitions and delivered tables."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from adfeast.feast_ext.registry import load_definitions
from adfeast.settings import load_settings
from demo.errors import Prerequisite, StepFailed
from demo.run import Run, midnight
from demo.traffic import catalogue, download, open_bandit
from demo.wipe import wipe
from infra.local.platform.platform import DEFAULT_HOME


def prepare(run: Run) -> None:
    """Checks the machine, fetches the data set, forgets the last run.

    Raises:
        Prerequisite: there is no Java. DownloadFailed, WrongHash: see `demo.traffic.download`.
    """
    with run.stage.step("Prerequisites", "Checked the machine, fetched the data set, emptied the platform.") as step:
        if shutil.which("java") is None:
            raise Prerequisite("java is not on the PATH: run `make setup`, which says how to install it")
        download.fetch(run.data_folder)
        step.facts["data files"] = len(download.FILES)
        wipe(run.platform)


def start(run: Run) -> None:
    """What `adfeast up` does."""
    what = "Started the servers on free ports and asked each a real request until it answered."
    with run.stage.step("Platform", what) as step:
        ready: list[str] = []

        def progress(name: str, _: float) -> None:
            ready.append(name)
            step.progress(len(ready), len(run.platform.wanted))

        run.platform.up(progress)
        run.settings = load_settings()
        step.facts["parts"] = ", ".join(ready)


def apply(run: Run) -> None:
    """Plain `feast apply`, as a person would type it in feature_repo/.

    Raises:
        StepFailed: it ended with an error.
    """
    what = "Ran plain feast apply in feature_repo/, the only place where a feature is described."
    with run.stage.step("Definitions", what) as step:
        repo = run.settings.feature_repo
        command = [str(Path(sys.prefix) / "bin" / "feast")]
        if run.home != DEFAULT_HOME:  # feature_store.yaml names the registry of the default home
            described = yaml.safe_load((repo / "feature_store.yaml").read_text())
            described["registry"]["path"] = run.settings.registry_url
            file = run.home / "run" / "feature_store.yaml"
            file.write_text(yaml.safe_dump(described))
            command += ["--feature-store-yaml", str(file)]
        done = subprocess.run([*command, "apply"], cwd=repo, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StepFailed(f"feast apply ended with {done.returncode}: {(done.stderr or done.stdout)[-1500:]}")
        run.definitions = load_definitions(run.settings)
        run.platform.create_topics()
        kinds = [v.kind for v in run.definitions.views.values()]
        step.facts |= {
            "batch views": kinds.count("batch"),
            "stream views": kinds.count("stream"),
            "model inputs": len(run.definitions.signature(run.settings.feature_service).inputs),
        }


def load_data(run: Run) -> None:
    """Reads the data set and delivers users and ads, dated before the first event."""
    with run.stage.step("Data", "Read the click data; delivered users and ads into the lake.") as step:
        folder = download.fetch(run.data_folder)
        run.data = open_bandit.read(folder, run.definitions)
        rows = catalogue.deliver(run.settings, run.definitions, run.data, midnight(run.days.history[0]))
        clicks = sum(a.click is not None for a in run.data.auctions)
        step.facts |= {"impressions": len(run.data.auctions), "clicks": clicks, **rows}
