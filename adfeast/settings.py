"""The one settings model, built at the edge of each program; library code never reads the environment.

Values come from environment variables (`ADFEAST_KAFKA_BOOTSTRAP=...`), then from the settings file
(`ADFEAST_SETTINGS`, by default `.local/settings.yaml`, which `adfeast up` writes), then from the defaults below.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource

from adfeast.errors import SettingsError, shown
from adfeast.secret import HiddenText, Secret, without_passwords

ROOT = Path(__file__).resolve().parent.parent
FILE_VARIABLE = "ADFEAST_SETTINGS"
SparkMemory = Annotated[str, Field(pattern=r"^[1-9][0-9]*[kmgt]$")]


def settings_file() -> Path:
    """Where this process reads its settings from."""
    return Path(os.environ.get(FILE_VARIABLE) or ROOT / ".local" / "settings.yaml")


class Settings(BaseSettings):
    """Addresses and folders of one deployment. Paths are absolute; `lake` is a folder or an `s3://bucket/prefix`.

    `snapshot_before_answer` holds each Predict until Kafka has its snapshot: a crash then loses none, which a replay
    wants and an auction does not. `max_candidates` of a Predict and `max_events` of a LogImpression or LogClick are
    what one call may bring. Batch values of ads are kept in memory for up to `ad_cache_ttl_s`: `ad_cache_rows`, or as
    many as `ad_cache_mb` hold if these are fewer. `ad_table` is a folder in which one process of the machine
    (`adfeast ads keep`) keeps the rows of up to `ad_table_rows` ads for its servers, best on a file system in memory;
    None: ads are read from the stores. `grpc_shared_port` lets several servers of a machine listen on one
    address; each needs a `server_name` of its own then (default: host and process id). `replay_speed` says how many
    times faster than the wall clock events are replayed; promises of freshness stretch by it. `metrics_port` is where a
    program shows its Prometheus metrics on `metrics_host`; 0 shows none. `event_max_age_s` is how old an event may be
    when it is sent, so that no sender opens files for ten thousand dates; `null` is no limit, for replays of history.

    The same calls are answered over gRPC at `grpc_address` and over HTTP at `rest_address` (`null`: not at all);
    `grpc_shared_port` holds for both.

    Of load: a call brings at most `max_request_kb`; beyond `max_predicts_under_way`, or `max_logs_under_way` of
    impressions or of clicks, calls are refused at once, to be sent again. A connection is ended in peace after
    `max_connection_age_s` (0: never), so that clients spread over servers that were added. A server that is to end
    answers on for `shutdown_notice_s`, in which balancers see that its health is NOT_SERVING.

    Of who we are to the servers (adfeast/access.py; a secret is a value or `file:/path`, and is never shown):

    - `tls_ca`: what has signed the servers' certificates, a PEM file; None: whom the system trusts.
    - `kafka_security`, and with SASL `kafka_mechanism`, `kafka_username` and `kafka_password`.
    - `redis_cluster`: `redis_host` and `redis_port` are those of a node of a Redis Cluster, or of all of them.
    - `redis_tls`, `redis_username` (empty: the default user) and `redis_password`.
    - `mlflow_username` and `mlflow_password`, or `mlflow_token`; `triton_token`, sent as a bearer's. Their TLS is an
      `https://` in the address.

    `forget_key` is the key by which the record of deletions names users (docs/privacy.md).

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

    Of label states (docs/labels.md): `label_window_s` is how long after its impression a click counts; None: no job
    keeps them. `label_grace_s` is how far a click may lie before its impression or after its window and still belong to
    it, `label_steps` in how many steps a negative's weight grows.

    Of the batch side (advice in docs/batch.md); a size that is None is Spark's own, or that of whoever starts the job:

    - `spark_master`: `local[*]`, `spark://host:port`, `k8s://...`, `yarn`; None: `spark-submit` has said it.
    - `spark_driver_host`: the name by which executors on other machines find the driver; None: its host's.
    - `spark_driver_memory`, `spark_executor_memory` (such as `4g`), `spark_executor_cores`; `spark_max_cores`: of all
      executors together.
    - `spark_shuffle_partitions`: into so many parts rows are cut to be joined and counted.
    """

    model_config = SettingsConfigDict(
        env_prefix="ADFEAST_",
        env_parse_none_str="null",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    project: str = "adfeast"
    local: Path = ROOT / ".local"
    feature_repo: Path = ROOT / "feature_repo"
    registry_url: str = f"sqlite:///{ROOT}/.local/state/registry.db"
    ledger_url: str = f"sqlite:///{ROOT}/.local/state/ledger.db"

    lake: str = f"{ROOT}/.local/lake"
    s3_endpoint: str | None = None
    aws_region: str = "us-east-1"
    aws_access_key_id: str | None = None
    aws_secret_access_key: HiddenText | None = Field(default=None, repr=False)

    redis_host: str = "127.0.0.1"
    redis_port: int = 6379
    dynamodb_endpoint: str | None = None
    kafka_bootstrap: str = "127.0.0.1:9092"
    flink_rest: str = "http://127.0.0.1:8081"
    triton_http: str = "127.0.0.1:8000"
    triton_repository: Path = ROOT / ".local" / "state" / "triton"
    mlflow_url: str = "http://127.0.0.1:5000"

    tls_ca: Path | None = None
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_username: str = ""
    kafka_password: Secret | None = None
    redis_cluster: bool = False
    redis_tls: bool = False
    redis_username: str = ""
    redis_password: Secret | None = None
    mlflow_username: str = ""
    mlflow_password: Secret | None = None
    mlflow_token: Secret | None = None
    triton_token: Secret | None = None
    forget_key: Secret | None = Field(default=None, min_length=16)

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
    label_window_s: Annotated[int, Field(ge=1)] | None = None
    label_grace_s: int = Field(default=600, ge=0)
    label_steps: int = Field(default=4, ge=1, le=100)

    spark_master: Annotated[str, Field(pattern=r"^(local(\[.+\])?|spark://.+|k8s://.+|yarn)$")] | None = "local[*]"
    spark_driver_host: str | None = None
    spark_driver_memory: SparkMemory | None = None
    spark_executor_memory: SparkMemory | None = None
    spark_executor_cores: Annotated[int, Field(ge=1)] | None = None
    spark_max_cores: Annotated[int, Field(ge=1)] | None = None
    spark_shuffle_partitions: int = Field(default=4, ge=1)

    feature_service: str = "ctr_v1"
    grpc_address: str = "127.0.0.1:50051"
    rest_address: str | None = "127.0.0.1:8080"
    grpc_shared_port: bool = False
    server_name: str = ""
    max_candidates: int = Field(default=2_000, ge=1, le=10_000)
    max_request_kb: int = Field(default=4_096, ge=64, le=65_536)
    max_predicts_under_way: int = Field(default=128, ge=1)
    max_logs_under_way: int = Field(default=64, ge=1)
    max_connection_age_s: float = Field(default=300.0, ge=0)
    shutdown_notice_s: float = Field(default=1.0, ge=0)
    max_events: int = Field(default=10_000, ge=1, le=50_000)  # librdkafka's buffer takes 100,000
    ad_cache_rows: int = Field(default=1 << 16, ge=1)
    ad_cache_mb: int = Field(default=256, ge=1)
    ad_cache_ttl_s: float = Field(default=60.0, ge=0)
    ad_table: Path | None = None
    ad_table_rows: int = Field(default=1 << 20, ge=1, le=1 << 24)
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

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, without_passwords(value) if isinstance(value, str) else value

    @property
    def checkpoints(self) -> str:
        """URL below which the stream jobs keep their state."""
        return (self.stream_checkpoints or f"file://{self.local}/state/streaming").rstrip("/")

    @model_validator(mode="after")
    def _whole_logins(self) -> Settings:
        if self.kafka_security.startswith("SASL") and not (self.kafka_username and self.kafka_password):
            raise ValueError(f"kafka_security={self.kafka_security} needs kafka_username and kafka_password")
        if self.mlflow_token and self.mlflow_password:
            raise ValueError("mlflow_token and mlflow_password are both set; keep one of them")
        if bool(self.mlflow_username) != bool(self.mlflow_password):
            raise ValueError("mlflow_username and mlflow_password go together; set both or none")
        return self

    @field_validator("rest_address")
    @classmethod
    def _host_and_port(cls, address: str | None) -> str | None:
        if address is not None:
            host, _, port = address.rpartition(":")
            if not host or not (port.isascii() and port.isdecimal() and int(port) <= 65_535):
                raise ValueError("must be host:port, such as 0.0.0.0:8080; null is for no REST")
        return address

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


SHOWN = frozenset(
    name for name, field in Settings.model_fields.items() if field.repr and "Secret" not in str(field.annotation)
)


def load_settings(**overrides: object) -> Settings:
    """Reads the settings; `overrides` win over environment and file.

    Raises:
        SettingsError: an unknown key or a bad value, named with the file it may stand in; ADFEAST_SETTINGS names a file
            that is not there.
    """
    if os.environ.get(FILE_VARIABLE) and not settings_file().is_file():
        raise SettingsError(
            f"{FILE_VARIABLE} names {settings_file()}, which is not there: write it (`adfeast up` writes that of a "
            f"local platform), or unset {FILE_VARIABLE} to take ADFEAST_* variables and the defaults"
        )
    return settings_over(**overrides)


def settings_over(**values: object) -> Settings:
    """Settings for whoever is about to write the file: it need not be there yet.

    Raises:
        SettingsError: as above, but for the file.
    """
    try:
        return Settings(**values)  # type: ignore[arg-type]
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}{_got(e)}" for e in error.errors())
        # Without its cause, which would show the values.
        raise SettingsError(f"bad settings in {settings_file()} or ADFEAST_* variables: {problems}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise SettingsError(f"{settings_file()} is not YAML{where}") from None
    except (TypeError, ValueError):
        raise SettingsError(f"{settings_file()} does not hold lines of `name: value`") from None


def _got(problem: Any) -> str:
    """The value, unless it is one that is never shown, or stands at a name that may be a mistyped one of those."""
    name = str(problem["loc"][0]) if problem["loc"] else ""
    return f" (got {without_passwords(shown(problem['input']))})" if name in SHOWN else ""
