from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from adfeast.contract.definitions import Feature, View
from adfeast.settings import Settings
from infra.local.platform.home import INSTALLED
from training.data.spark import spark_session


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> SparkSession:
    home = tmp_path_factory.mktemp("spark")
    # The first session of a process decides which jars its JVM knows: later tests read from S3.
    (home / "jars").symlink_to(INSTALLED / "jars")
    return spark_session(Settings(local=home, lake=str(home / "lake"), spark_master="local[2]"))


def make_feature(name: str, dtype: str, role: str, width: int = 1, **more: float) -> Feature:
    return Feature(name, dtype, role, width, 0, "none", 0.0, "", **more)  # type: ignore[arg-type]


def make_view(*features: Feature, name: str = "things", **more: object) -> View:
    return View(name, "batch", "thing", "thing_id", "dynamodb", 86_400, features, f"{name}_table", **more)  # type: ignore[arg-type]
