"""Feast's DuckDB offline store over the lake as it grows: partitions older than a feature, or no data yet, give nulls.

Feast's reader takes the first file's columns for the whole table, fails on a table without files, and needs a DuckDB
extension from the network for S3; here Arrow opens the files and DuckDB computes the point-in-time join.

A pull gives what was served. An impression is shown after its features were read, so a row counts for what came
strictly after its event: the counter that an impression itself has raised is not among its features. And a row counts
from when it was online, which for a batch view is hours after the moment its values hold for.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import ibis
import pyarrow as pa
from feast import FeatureView, RepoConfig
from feast.data_source import DataSource
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig, _write_data_source
from feast.infra.offline_stores.ibis import (
    get_historical_features_ibis,
    pull_all_from_table_or_query_ibis,
    pull_latest_from_table_or_query_ibis,
)
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.infra.registry.base_registry import BaseRegistry
from feast.types import from_feast_to_pyarrow_type
from pydantic import Field, StrictStr

from adfeast.lake import open_table
from adfeast.settings import Settings, load_settings

TIME = pa.timestamp("us", tz="UTC")


class LakeOfflineStoreConfig(DuckDBOfflineStoreConfig):  # type: ignore[misc]
    """Where the lake is; by default what the platform's settings say."""

    type: StrictStr = "adfeast.feast_ext.offline.LakeOfflineStore"
    settings: Settings = Field(default_factory=load_settings)


class LakeOfflineStore(DuckDBOfflineStore):  # type: ignore[misc]
    """Reads the lake; see the module."""

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: Any,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
    ) -> RetrievalJob:
        """Values of the rows of `entity_df` as they were served then; `filter_by_created_timestamp` is implied."""
        columns: dict[str, dict[str, pa.DataType]] = {}
        lifetimes = {view.batch_source.name: view.ttl for view in feature_views}
        for view in feature_views:
            fields = (*view.entity_columns, *view.features)
            columns[view.batch_source.name] = {f.name: from_feast_to_pyarrow_type(f.dtype) for f in fields}
        return get_historical_features_ibis(
            config=config,
            feature_views=feature_views,
            feature_refs=feature_refs,
            entity_df=entity_df,
            registry=registry,
            project=project,
            full_feature_names=full_feature_names,
            data_source_reader=lambda source, _: as_served(
                _read(config, source, columns[source.name]),
                source.timestamp_field,
                source.created_timestamp_column,
                lifetimes[source.name],
            ),
            data_source_writer=_write_data_source,
            filter_by_created_timestamp=True,
        )

    @staticmethod
    def pull_latest_from_table_or_query(config: RepoConfig, data_source: DataSource, **kwargs: Any) -> RetrievalJob:
        """The newest row a key in a time range."""
        return _pull(pull_latest_from_table_or_query_ibis, config, data_source, **kwargs)

    @staticmethod
    def pull_all_from_table_or_query(config: RepoConfig, data_source: DataSource, **kwargs: Any) -> RetrievalJob:
        """All rows in a time range."""
        return _pull(pull_all_from_table_or_query_ibis, config, data_source, **kwargs)


def as_served(table: ibis.Table, event_time: str, created_time: str | None, lifetime: timedelta | None) -> ibis.Table:
    """The rows of a view with the times from which they count.

    A row whose publication came later than its lifetime, or is not known, was made afterwards, by a backfill or a
    replay: nobody was served it, and it stands for one that would have been online in time.

    Args:
        created_time: the column that says when a row was published.
        lifetime: how old a served row may be; None or 0 is any age.
    """
    event = table[event_time]
    after = event + ibis.interval(microseconds=1)
    if not created_time:
        return table.mutate(**{event_time: after})
    created = table[created_time]
    in_time = created >= event
    if lifetime:
        in_time &= created <= event + ibis.literal(lifetime)
    online = ibis.cases((in_time, created), else_=event)  # a null is not in time
    return table.mutate(**{event_time: after, created_time: online})


def _pull(
    pull: Callable[..., RetrievalJob],
    config: RepoConfig,
    data_source: DataSource,
    join_key_columns: list[str],
    feature_name_columns: list[str],
    timestamp_field: str,
    created_timestamp_column: str | None = None,
    start_date: datetime | None = None,
    end_date: datetime | None = None,
) -> RetrievalJob:
    columns = dict.fromkeys([*join_key_columns, *feature_name_columns], pa.null())
    return pull(
        config=config,
        data_source=data_source,
        join_key_columns=join_key_columns,
        feature_name_columns=feature_name_columns,
        timestamp_field=timestamp_field,
        created_timestamp_column=created_timestamp_column,
        start_date=start_date,
        end_date=end_date,
        data_source_reader=lambda source, _: _read(config, source, columns),
        data_source_writer=_write_data_source,
    )


def _read(config: RepoConfig, source: DataSource, columns: dict[str, pa.DataType]) -> ibis.Table:
    types = columns | {source.timestamp_field: TIME}
    if source.created_timestamp_column:
        types[source.created_timestamp_column] = TIME
    return ibis.memtable(open_table(config.offline_store.settings, source.path, types))
