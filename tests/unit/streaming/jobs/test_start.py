"""How a job runs is what the settings say, down to Flink's own options."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from adfeast.settings import Settings
from streaming.jobs.sql import statements
from streaming.names import ARCHIVE, features_job
from streaming.plan import make_plan
from tests.unit.streaming.jobs.test_sql import definitions

JOB = features_job("shop_bids")
MODULE = "streaming.jobs.start"
# What it imports of the Flink environment, which this one is not.
FLINK = {
    "pyflink.common": ("Configuration",),
    "pyflink.table": ("EnvironmentSettings", "StatementSet", "TableEnvironment"),
    "pyflink.util.exceptions": ("JavaException",),
}


class Options(dict[str, str]):
    """Flink's options, as they are set."""

    set_string = dict.__setitem__


@pytest.fixture
def configuration(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any, str], Options]]:
    for name, members in FLINK.items():
        module = ModuleType(name)
        for member in members:
            setattr(module, member, Options)
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules.pop(MODULE, None)
    yield importlib.import_module(MODULE).configuration
    sys.modules.pop(MODULE, None)


def test_what_the_settings_say_of_streams_reaches_flink(
    tmp_path: Path, configuration: Callable[[Any, str], Options]
) -> None:
    settings = Settings(
        local=tmp_path,
        registry_url=f"sqlite:///{tmp_path}/registry.db",
        stream_parallelism=3,
        stream_state_backend="rocksdb",
        stream_checkpoints="s3://bucket/state/",
        stream_emit_ms=250,
        stream_checkpoint_ms=9_000,
        archive_checkpoint_ms=60_000,
    )
    plan = make_plan(definitions(), settings)
    features, archive = (configuration(plan, job) for job in (JOB, ARCHIVE))
    wanted = {
        "parallelism.default": "3",
        "state.backend.type": "rocksdb",
        "execution.checkpointing.incremental": "true",
        "execution.checkpointing.interval": "9000 ms",
        "execution.checkpointing.dir": f"s3://bucket/state/{JOB}/{plan['jobs'][JOB]['digest']}/0",
    }
    assert {name: features[name] for name in wanted} == wanted
    # Its files are finished with its checkpoints.
    assert archive["execution.checkpointing.interval"] == "60000 ms"
    assert any(";emit=250;" in declared for declared in statements(plan, JOB)[0])


def test_by_default_state_is_on_the_heap_and_in_a_folder(
    tmp_path: Path, configuration: Callable[[Any, str], Options]
) -> None:
    settings = Settings(local=tmp_path, registry_url=f"sqlite:///{tmp_path}/registry.db")
    found = configuration(make_plan(definitions(), settings), JOB)
    assert found["execution.checkpointing.dir"].startswith(f"file://{tmp_path}/state/streaming/{JOB}/")
    assert (found["state.backend.type"], found["execution.checkpointing.incremental"]) == ("hashmap", "false")
