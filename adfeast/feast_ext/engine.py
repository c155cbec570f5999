"""Materializes what the lake holds into the online store, without the detour of Feast's local engine over pandas.

That detour makes floats of integer columns with nulls, which corrupts 60-bit ids, and refuses every stream view because
of its time windows; here a view's source already holds finished values and nothing is aggregated again.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from feast import FeatureView
from feast.infra.common.materialization_job import MaterializationJobStatus, MaterializationTask
from feast.infra.compute_engines.local.compute import LocalComputeEngine, LocalComputeEngineConfig
from feast.infra.compute_engines.local.job import LocalMaterializationJob
from feast.infra.registry.base_registry import BaseRegistry
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.type_map import python_values_to_proto_values
from feast.utils import _get_column_names
from pydantic import StrictStr

DEFAULT_BATCH = 500


class LakeEngineConfig(LocalComputeEngineConfig):  # type: ignore[misc]
    """No settings of its own."""

    type: StrictStr = "adfeast.feast_ext.engine.LakeEngine"


class LakeEngine(LocalComputeEngine):  # type: ignore[misc]
    """Newest row a key of the interval, from the offline store, in batches, to the online store."""

    def _materialize_one(
        self, registry: BaseRegistry, task: MaterializationTask, **kwargs: Any
    ) -> LocalMaterializationJob:
        view = task.feature_view
        job_id = f"{view.name}-{task.start_time}-{task.end_time}"
        entities = [registry.get_entity(name, task.project) for name in view.entities]
        keys, features, timestamp, created = _get_column_names(view, entities)
        rows = self.offline_store.pull_latest_from_table_or_query(
            config=self.repo_config,
            data_source=view.batch_source,
            join_key_columns=keys,
            feature_name_columns=features,
            timestamp_field=timestamp,
            created_timestamp_column=created,
            start_date=task.start_time,
            end_date=task.end_time,
        ).to_arrow()
        size = self.repo_config.materialization_config.online_write_batch_size or DEFAULT_BATCH
        for batch in rows.to_batches(max_chunksize=size):
            data = to_rows(batch, view, timestamp, created)
            self.online_store.online_write_batch(self.repo_config, view, data, None)
        return LocalMaterializationJob(job_id=job_id, status=MaterializationJobStatus.SUCCEEDED)


def to_rows(batch: pa.RecordBatch, view: FeatureView, timestamp: str, created: str | None) -> list[tuple[Any, ...]]:
    """Rows as an online store takes them: entity key, values, event time, created time; integers stay exact."""

    def protos(field: Any) -> list[Any]:
        values = python_values_to_proto_values(batch.column(field.name).to_pylist(), field.dtype.to_value_type())
        return list(values)

    names = [f.name for f in view.entity_columns]
    keys = zip(*(protos(f) for f in view.entity_columns), strict=True)
    values = {f.name: protos(f) for f in view.features}
    times = batch.column(timestamp).to_pylist()
    made = batch.column(created).to_pylist() if created else [None] * batch.num_rows
    return [
        (
            EntityKey(join_keys=names, entity_values=list(key)),
            {name: column[i] for name, column in values.items()},
            times[i],
            made[i],
        )
        for i, key in enumerate(keys)
    ]
