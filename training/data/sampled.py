"""Leaves most impressions without a click out of a training set, and says what the others stand for."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812

from adfeast.contract.events import EVENT_ID
from adfeast.contract.ids import SPARK_HASH_ID
from training import sampling
from training.data.columns import LABEL, WEIGHT


def sample(labelled: DataFrame, share: float) -> DataFrame:
    """Clicked impressions with weight 1 and those that `training.sampling.chosen` takes with 1 / share."""
    clicked = F.col(LABEL) == 1
    weighed = labelled.withColumn(WEIGHT, F.when(clicked, 1.0).otherwise(1 / share).cast("float"))
    if share == 1:
        return weighed
    labelled.sparkSession.sql(SPARK_HASH_ID)
    return weighed.where(clicked | F.expr(f"hash_id(concat('/', {EVENT_ID})) < {sampling.limit(share)}L"))
