"""Spark leaves out what Python leaves out, and what is left stands for all."""

from __future__ import annotations

import numpy as np
import pytest
from pyspark.sql import SparkSession

from training.data.sampled import sample
from training.sampling import chosen


def test_spark_takes_the_negatives_that_python_takes_and_every_click(spark: SparkSession) -> None:
    ids = [f"imp-{n}" for n in range(3_000)]
    labels = [int(n % 50 == 0) for n in range(3_000)]
    labelled = spark.createDataFrame(list(zip(ids, labels, strict=True)), "event_id string, label byte")
    rows = {r["event_id"]: r["weight"] for r in sample(labelled, 0.25).collect()}
    wanted = np.array(labels, bool) | chosen(ids, 0.25)
    assert set(rows) == {i for i, taken in zip(ids, wanted, strict=True) if taken}
    assert {rows[i] for i, clicked in zip(ids, labels, strict=True) if clicked} == {1.0}
    assert sum(rows.values()) == pytest.approx(3_000, rel=0.1)
    assert sample(labelled, 1.0).count() == 3_000
