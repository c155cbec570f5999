"""The OpenAPI document, made of what is applied and of adfeast.proto: it says what this server takes now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from adfeast.contract.definitions import Definitions, Feature
from adfeast.contract.events import CLICKS, EVENT_TIME, IMPRESSIONS, MAX_ID_BYTES, column_defaults, column_types
from adfeast.settings import Settings
from serving.predict.request import KINDS
from serving.proto import adfeast_pb2 as pb
from serving.rest.answers import AD, SCORE, SCORES, STATUS_OK
from serving.rest.call import DEADLINE, LONGEST_MS
from serving.rest.requests import CONTEXT, EVENTS

Schema = dict[str, Any]
_JSON_KINDS = {"text": "string", "integer": "integer", "number": "number", "flag": "boolean"}
_EVENT_KINDS = {
    "int": "integer",
    "long": "integer",
    "timestamp-millis": "integer",
    "float": "number",
    "double": "number",
}
_PROTO_KINDS = {
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_FLOAT: {"type": "number"},
    FieldDescriptor.TYPE_UINT32: {"type": "integer"},
    FieldDescriptor.TYPE_UINT64: {"type": "string", "format": "uint64"},  # as protobuf writes it in JSON
    FieldDescriptor.TYPE_STRING: {"type": "string"},
}


@dataclass(frozen=True)
class Offered:
    """What callers may send.

    Attributes:
        features: of the request source, which a context may hold.
        schemas: topic to the schema that its events are written with; topics that are not there are refused.
    """

    features: tuple[Feature, ...]
    schemas: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, definitions: Definitions, service: str, schemas: Mapping[str, Mapping[str, Any]]) -> Offered:
        """That of a feature service."""
        source = definitions.service(service).request_source
        return cls(definitions.request_sources.get(source, ()), schemas)

    @property
    def aliases(self) -> Mapping[str, str]:
        """Other name of a request feature to its own."""
        return {f.alias: f.name for f in self.features if f.alias}


def document(offered: Offered, settings: Settings) -> Schema:
    """An OpenAPI 3.1 document."""
    logs = (("impressions", IMPRESSIONS, "shown"), ("clicks", CLICKS, "clicked"))
    paths = {
        "/v1/predict/ctr": _post("Scores the candidates of one auction.", _predict(offered, settings), _answer()),
        **{
            f"/v1/{path}": _post(
                f"Reports what was {what}; answered when Kafka holds every event. Sending again is harmless: an event "
                "counts once by its event_id.",
                _events(offered.schemas[topic], settings),
                _ok(),
            )
            for path, topic, what in logs
            if topic in offered.schemas
        },
        "/v1/status": _get("What the server says of itself.", _message(pb.StatusResponse.DESCRIPTOR)),
        "/v1/health": _get("200 while a Predict is answered, else 503.", _object({"status": {"type": "string"}})),
    }
    about = {
        "title": "Adfeast",
        "version": pb.DESCRIPTOR.package.rpartition(".")[2],
        "description": "The calls of adfeast.proto as JSON. What a context and an event may hold follows the feature "
        "definitions: this document is made from those that are applied.",
    }
    problem = _object({n: {"type": "string"} for n in ("code", "message", "field", "value", "todo")})
    problem["properties"]["retry_ms"] = {"type": "integer"}
    return {
        "openapi": "3.1.0",
        "info": about,
        "paths": paths,
        "components": {"schemas": {"Problem": _object({"error": problem})}},
    }


def _predict(offered: Offered, settings: Settings) -> Schema:
    context = _object({f.alias or f.name: _feature(f) for f in offered.features}, required=())
    made = _message(pb.PredictRequest.DESCRIPTOR, required=("user_id", "ad_ids"))
    made["properties"][CONTEXT] = context | {"additionalProperties": False}
    made["properties"]["user_id"] |= {"minLength": 1, "maxLength": MAX_ID_BYTES}
    ids = {"type": "string", "minLength": 1, "maxLength": MAX_ID_BYTES}
    made["properties"]["ad_ids"] |= {
        "items": ids, "minItems": 1, "maxItems": settings.max_candidates, "uniqueItems": True
    }  # fmt: skip
    return made | {"additionalProperties": False}


def _feature(feature: Feature) -> Schema:
    other = f"; also as {feature.name}" if feature.alias else ""
    kinds = [_JSON_KINDS[k] for k in KINDS[feature.dtype]]
    return {"type": kinds[0], "description": f"{feature.description}{other}"}


def _events(schema: Mapping[str, Any], settings: Settings) -> Schema:
    defaults = column_defaults(schema)
    columns = {}
    for name, kind in column_types(schema).items():
        columns[name] = {"type": _EVENT_KINDS.get(kind, kind)} | (
            {"default": defaults[name]} if name in defaults else {}
        )
    columns[EVENT_TIME] |= {"description": "milliseconds since 1970; left out, it is the server's clock"}
    needed = [n for n in columns if n not in defaults and n != EVENT_TIME]
    event = _object(columns, needed) | {"additionalProperties": False}
    many = _object({EVENTS: {"type": "array", "minItems": 1, "maxItems": settings.max_events, "items": event}})
    return {"oneOf": [many | {"additionalProperties": False}, event]}


def _answer() -> Schema:
    made = _message(pb.PredictResponse.DESCRIPTOR)
    score = _object({AD: {"type": "string"}, SCORE: {"type": "number"}})
    made["properties"][SCORES] = {"type": "array", "items": score, "description": "in the order of ad_ids"}
    return made


def _ok() -> Schema:
    made = _message(pb.LogEventsResponse.DESCRIPTOR)
    status = {name: {"const": value} for name, value in STATUS_OK.items()}
    return _object(status | made["properties"])


def _message(descriptor: Descriptor, required: Iterable[str] | None = None) -> Schema:
    properties = {field.name: _proto_field(field) for field in descriptor.fields}
    return _object(properties, properties if required is None else required)


def _proto_field(field: FieldDescriptor) -> Schema:
    inner = field.message_type
    if inner is not None and inner.GetOptions().map_entry:
        return {"type": "object", "additionalProperties": _proto_field(inner.fields_by_name["value"])}
    if inner is not None and inner.full_name == "google.protobuf.Timestamp":
        one: Schema = {"type": "string", "format": "date-time"}
    elif inner is not None:
        one = {} if inner.name == "Value" else _message(inner)
    elif field.enum_type is not None:
        one = {"type": "string", "enum": [v.name for v in field.enum_type.values]}
    else:
        one = dict(_PROTO_KINDS[field.type])
    return {"type": "array", "items": one} if field.is_repeated else one


def _object(properties: Mapping[str, Schema], required: Iterable[str] | None = None) -> Schema:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties if required is None else required),
    }


def _post(summary: str, body: Schema, answer: Schema) -> Schema:
    deadline = {
        "name": DEADLINE,
        "in": "header",
        "description": "how many milliseconds the answer may take",
        "schema": {"type": "integer", "minimum": 1, "maximum": LONGEST_MS},
    }
    problem = {"description": "see `error`", "content": _json({"$ref": "#/components/schemas/Problem"})}
    return {
        "post": {
            "summary": summary,
            "parameters": [deadline],
            "requestBody": {"required": True, "content": _json(body)},
            "responses": {"200": {"description": "done", "content": _json(answer)}, "default": problem},
        }
    }


def _get(summary: str, answer: Schema) -> Schema:
    return {"get": {"summary": summary, "responses": {"200": {"description": "done", "content": _json(answer)}}}}


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}
