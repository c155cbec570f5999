import datetime
from collections.abc import Iterable as _Iterable
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar

from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper

DESCRIPTOR: _descriptor.FileDescriptor

class Rung(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUNG_UNSPECIFIED: _ClassVar[Rung]
    RUNG_FRESH: _ClassVar[Rung]
    RUNG_CACHED: _ClassVar[Rung]
    RUNG_PARTIAL: _ClassVar[Rung]
    RUNG_AD_CTR: _ClassVar[Rung]
    RUNG_PRIOR: _ClassVar[Rung]

class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STATE_UNSPECIFIED: _ClassVar[State]
    STATE_STARTING: _ClassVar[State]
    STATE_READY: _ClassVar[State]
    STATE_DEGRADED: _ClassVar[State]

RUNG_UNSPECIFIED: Rung
RUNG_FRESH: Rung
RUNG_CACHED: Rung
RUNG_PARTIAL: Rung
RUNG_AD_CTR: Rung
RUNG_PRIOR: Rung
STATE_UNSPECIFIED: State
STATE_STARTING: State
STATE_READY: State
STATE_DEGRADED: State

class Value(_message.Message):
    __slots__ = ("flag", "integer", "number", "text")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    INTEGER_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    FLAG_FIELD_NUMBER: _ClassVar[int]
    text: str
    integer: int
    number: float
    flag: bool
    def __init__(
        self,
        text: str | None = ...,
        integer: int | None = ...,
        number: float | None = ...,
        flag: bool = ...,
    ) -> None: ...

class PredictRequest(_message.Message):
    __slots__ = ("ad_ids", "context", "event_time", "request_id", "user_id")
    class ContextEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Value
        def __init__(self, key: str | None = ..., value: Value | _Mapping | None = ...) -> None: ...

    USER_ID_FIELD_NUMBER: _ClassVar[int]
    AD_IDS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    ad_ids: _containers.RepeatedScalarFieldContainer[str]
    context: _containers.MessageMap[str, Value]
    event_time: _timestamp_pb2.Timestamp
    request_id: str
    def __init__(
        self,
        user_id: str | None = ...,
        ad_ids: _Iterable[str] | None = ...,
        context: _Mapping[str, Value] | None = ...,
        event_time: datetime.datetime | _timestamp_pb2.Timestamp | _Mapping | None = ...,
        request_id: str | None = ...,
    ) -> None: ...

class Deviation(_message.Message):
    __slots__ = ("ads", "rung")
    RUNG_FIELD_NUMBER: _ClassVar[int]
    ADS_FIELD_NUMBER: _ClassVar[int]
    rung: Rung
    ads: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, rung: Rung | str | None = ..., ads: _Iterable[int] | None = ...) -> None: ...

class PredictResponse(_message.Message):
    __slots__ = (
        "attempt_id",
        "away",
        "deviations",
        "latency_ms",
        "model_version",
        "request_id",
        "rung",
        "scores",
        "stale_views",
        "unknown_ads",
        "unknown_user",
    )
    SCORES_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_USER_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_ADS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    STALE_VIEWS_FIELD_NUMBER: _ClassVar[int]
    RUNG_FIELD_NUMBER: _ClassVar[int]
    DEVIATIONS_FIELD_NUMBER: _ClassVar[int]
    AWAY_FIELD_NUMBER: _ClassVar[int]
    scores: _containers.RepeatedScalarFieldContainer[float]
    model_version: str
    latency_ms: float
    request_id: str
    unknown_user: bool
    unknown_ads: _containers.RepeatedScalarFieldContainer[int]
    attempt_id: str
    stale_views: _containers.RepeatedScalarFieldContainer[str]
    rung: Rung
    deviations: _containers.RepeatedCompositeFieldContainer[Deviation]
    away: _containers.RepeatedScalarFieldContainer[str]
    def __init__(
        self,
        scores: _Iterable[float] | None = ...,
        model_version: str | None = ...,
        latency_ms: float | None = ...,
        request_id: str | None = ...,
        unknown_user: bool = ...,
        unknown_ads: _Iterable[int] | None = ...,
        attempt_id: str | None = ...,
        stale_views: _Iterable[str] | None = ...,
        rung: Rung | str | None = ...,
        deviations: _Iterable[Deviation | _Mapping] | None = ...,
        away: _Iterable[str] | None = ...,
    ) -> None: ...

class Event(_message.Message):
    __slots__ = ("fields",)
    class FieldsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Value
        def __init__(self, key: str | None = ..., value: Value | _Mapping | None = ...) -> None: ...

    FIELDS_FIELD_NUMBER: _ClassVar[int]
    fields: _containers.MessageMap[str, Value]
    def __init__(self, fields: _Mapping[str, Value] | None = ...) -> None: ...

class LogEventsRequest(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[Event]
    def __init__(self, events: _Iterable[Event | _Mapping] | None = ...) -> None: ...

class LogEventsResponse(_message.Message):
    __slots__ = ("accepted",)
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    accepted: int
    def __init__(self, accepted: int | None = ...) -> None: ...

class StatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StatusResponse(_message.Message):
    __slots__ = (
        "away",
        "contract_hash",
        "feature_service",
        "features",
        "model_version",
        "models",
        "refused",
        "rungs",
        "server",
        "snapshots_acknowledged",
        "snapshots_lost",
        "state",
    )
    class RungsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: str | None = ..., value: int | None = ...) -> None: ...

    FEATURE_SERVICE_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_HASH_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOTS_ACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOTS_LOST_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    SERVER_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    AWAY_FIELD_NUMBER: _ClassVar[int]
    RUNGS_FIELD_NUMBER: _ClassVar[int]
    feature_service: str
    contract_hash: str
    model_version: str
    refused: str
    snapshots_acknowledged: int
    snapshots_lost: int
    models: _containers.RepeatedScalarFieldContainer[str]
    server: str
    features: _containers.RepeatedScalarFieldContainer[str]
    state: State
    away: _containers.RepeatedScalarFieldContainer[str]
    rungs: _containers.ScalarMap[str, int]
    def __init__(
        self,
        feature_service: str | None = ...,
        contract_hash: str | None = ...,
        model_version: str | None = ...,
        refused: str | None = ...,
        snapshots_acknowledged: int | None = ...,
        snapshots_lost: int | None = ...,
        models: _Iterable[str] | None = ...,
        server: str | None = ...,
        features: _Iterable[str] | None = ...,
        state: State | str | None = ...,
        away: _Iterable[str] | None = ...,
        rungs: _Mapping[str, int] | None = ...,
    ) -> None: ...
