"""Feast's DuckDB offline store over the lake as it grows: partitions older than a feature, or no data yet, give nulls.

Feast's reader takes the first file's columns for the whole table, fails on a table without files, and needs a DuckDB
extension from the network for S3; here Arrow opens the files and DuckDB computes the point-in-time join.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
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
        """Point-in-time values of the rows of `entity_df`."""
        columns: dict[str, dict[str, pa.DataType]] = {}
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
            data_source_reader=lambda source, _: _read(config, source, columns[source.name]),
            data_source_writer=_write_data_source,
            filter_by_created_timestamp=filter_by_created_timestamp,
        )

    @staticmethod
    def pull_latest_from_table_or_query(config: RepoConfig, data_source: DataSource, **kwargs: Any) -> RetrievalJob:
        """The newest row a key in a time range."""
        return _pull(pull_latest_from_table_or_query_ibis, config, data_source, **kwargs)

    @staticmethod
    def pull_all_from_table_or_query(config: RepoConfig, data_source: DataSource, **kwargs: Any) -> RetrievalJob:
        """All rows in a time range."""
        return _pull(pull_all_from_table_or_query_ibis, config, data_source, **kwargs)


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
