"""The one settings model, built at the edge of each program; library code never reads the environment.

Values come from environment variables (`ADFEAST_KAFKA_BOOTSTRAP=...`), then from the settings file
(`ADFEAST_SETTINGS`, by default `.local/settings.yaml`, which `adfeast up` writes), then from the defaults below.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource

from adfeast.errors import SettingsError

ROOT = Path(__file__).resolve().parent.parent


def settings_file() -> Path:
    """Where this process reads its settings from."""
    return Path(os.environ.get("ADFEAST_SETTINGS", ROOT / ".local" / "settings.yaml"))


class Settings(BaseSettings):
    """Addresses and folders of one deployment. Paths are absolute; `lake` is a folder or an `s3://bucket/prefix`.

    `snapshot_before_answer` holds each Predict until Kafka has its snapshot: a crash then loses none, which a replay
    wants and an auction does not. `grpc_shared_port` lets several servers of a machine listen on one address; each
    needs a `server_name` of its own then (default: host and process id). `replay_speed` says how many times faster than
    the wall clock events are replayed; promises of freshness stretch by it. `metrics_port` is where a program shows its
    Prometheus metrics on `metrics_host`; 0 shows none. `event_max_age_s` is how old an event may be when it is sent, so
    that no sender opens files for ten thousand dates; `null` is no limit, for replays of history.

    `redis_budget_ms`, `dynamodb_budget_ms` and `triton_budget_ms` say how long a Predict of up to 250 candidates waits
    for each, less if its deadline is nearer; then it goes on without. A score may answer again for the same user and ad
    for `score_cache_ttl_s` when there is no fresh one; `score_cache_candidates` are kept at most.

    Of the stream side (advice in docs/streams.md):

    - `stream_parallelism`: subtasks of every Flink job; a changed one restarts the jobs from a savepoint.
    - `event_partitions`, `feature_partitions`, `kafka_replication`, `kafka_retention_ms` (None: the broker's): how
      topics are created; one that exists is left as it is.
    - `stream_state_backend`: `hashmap` (the heap) or `rocksdb` (disk, incremental checkpoints).
    - `stream_checkpoints`: where checkpoints and savepoints go, a `file://` or `s3://` URL; by default a folder of
      `local`.
    - `stream_emit_ms`: a key's values are written at most once in so much event time; 0 writes every change.
    - `stream_checkpoint_ms`, `archive_checkpoint_ms`: how often the jobs' state is kept; the archive's is also how
      often its files are finished, so a long one makes fewer and larger files, and completeness is known later.
    """

    model_config = SettingsConfigDict(env_prefix="ADFEAST_", env_parse_none_str="null", extra="forbid", frozen=True)

    project: str = "adfeast"
    local: Path = ROOT / ".local"
    feature_repo: Path = ROOT / "feature_repo"
    registry_url: str = f"sqlite:///{ROOT}/.local/state/registry.db"
    ledger_url: str = f"sqlite:///{ROOT}/.local/state/ledger.db"

    lake: str = f"{ROOT}/.local/lake"
    s3_endpoint: str | None = None
    aws_region: str = "us-east-1"
    aws_access_key_id: str | None = None
    aws_secret_access_key: str | None = None

    redis_host: str = "127.0.0.1"
    redis_port: int = 6379
    dynamodb_endpoint: str | None = None
    kafka_bootstrap: str = "127.0.0.1:9092"
    flink_rest: str = "http://127.0.0.1:8081"
    triton_http: str = "127.0.0.1:8000"
    triton_repository: Path = ROOT / ".local" / "state" / "triton"
    mlflow_url: str = "http://127.0.0.1:5000"

    # At least what the server is stricter than the pipeline, and a minute more.
    event_max_age_s: Annotated[int, Field(ge=120)] | None = 7 * 86_400
    stream_parallelism: int = Field(default=1, ge=1, le=128)
    event_partitions: int = Field(default=2, ge=1)
    feature_partitions: int = Field(default=1, ge=1)
    kafka_replication: int = Field(default=1, ge=1)
    kafka_retention_ms: int | None = Field(default=None, ge=-1)
    stream_state_backend: Literal["hashmap", "rocksdb"] = "hashmap"
    stream_checkpoints: str = ""
    stream_emit_ms: int = Field(default=0, ge=0)
    stream_checkpoint_ms: int = Field(default=2_000, ge=100)
    archive_checkpoint_ms: int = Field(default=5_000, ge=100)

    feature_service: str = "ctr_v1"
    grpc_address: str = "127.0.0.1:50051"
    grpc_shared_port: bool = False
    server_name: str = ""
    max_candidates: int = 5000
    ad_cache_rows: int = 1 << 16
    ad_cache_ttl_s: float = 60.0
    redis_budget_ms: float = Field(default=15, gt=0, le=60_000)
    dynamodb_budget_ms: float = Field(default=25, gt=0, le=60_000)
    triton_budget_ms: float = Field(default=20, gt=0, le=60_000)
    score_cache_ttl_s: float = Field(default=45.0, ge=0, le=3600)
    score_cache_candidates: int = Field(default=1 << 18, ge=0)
    snapshot_before_answer: bool = False
    replay_speed: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    metrics_host: str = "127.0.0.1"
    metrics_port: int = Field(default=0, ge=0, le=65_535)

    def lake_path(self, *parts: str) -> str:
        """Absolute path or URL of a place in the lake."""
        return "/".join([self.lake.rstrip("/"), *parts])

    @property
    def checkpoints(self) -> str:
        """URL below which the stream jobs keep their state."""
        return (self.stream_checkpoints or f"file://{self.local}/state/streaming").rstrip("/")

    @field_validator("stream_checkpoints")
    @classmethod
    def _known_place(cls, place: str) -> str:
        if place and not place.startswith(("file:///", "s3://")):
            raise ValueError("must be a file:///absolute/folder or an s3://bucket/prefix URL, which Flink writes to")
        return place

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls, settings_file())


def load_settings(**overrides: object) -> Settings:
    """Reads the settings; `overrides` win over environment and file.

    Raises:
        SettingsError: an unknown key or a bad value, named with the file it may stand in.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']} (got {e['input']!r})" for e in error.errors())
        raise SettingsError(f"bad settings in {settings_file()} or ADFEAST_* variables: {problems}") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{settings_file()} is not YAML: {error}") from error
