"""Serves the schemas in schemas.json as a Terraform provider (protocol 6), which knows AWS's resources and no AWS.

Enough for `validate`, and for `test` with mocked providers: names, types, required arguments and blocks are checked;
values that only AWS's own provider knows (instance types, versions, which arguments exclude each other) are not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc
from tf.gen import tfplugin_pb2 as messages
from tf.gen import tfplugin_pb2_grpc as services

from infra.terraform_offline.schemas import FILE

ADDRESS = "hashicorp/aws"
# Given by AWS where a configuration leaves them out.
GIVEN = {"id", "region", "tags_all"}
PROVIDER = {
    "attributes": {
        "region": {"type": "string"},
        "allowed_account_ids": {"type": ["set", "string"]},
    },
    "blocks": {
        "default_tags": {
            "many": False,
            "required": False,
            "block": {"attributes": {"tags": {"type": ["map", "string"]}}, "blocks": {}},
        }
    },
}


class Provider(services.ProviderServicer):  # type: ignore[misc]
    """Answers what Terraform asks before it would ask AWS; anything else is not implemented."""

    def __init__(self, schemas: dict[str, Any]) -> None:
        self._schema = messages.GetProviderSchema.Response(
            provider=_schema(PROVIDER), resource_schemas={name: _schema(block) for name, block in schemas.items()}
        )

    def GetProviderSchema(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._schema

    def ValidateProviderConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        return messages.ValidateProviderConfig.Response()

    def ConfigureProvider(self, request: Any, context: Any) -> Any:  # noqa: N802
        return messages.ConfigureProvider.Response()

    def ValidateResourceConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        return messages.ValidateResourceConfig.Response()

    def StopProvider(self, request: Any, context: Any) -> Any:  # noqa: N802
        return messages.StopProvider.Response()


@contextmanager
def serving() -> Iterator[dict[str, str]]:
    """Serves on a free port of this machine; yields the variable by which Terraform finds it."""
    server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.max_send_message_length", -1)])
    services.add_ProviderServicer_to_server(Provider(json.loads(FILE.read_text())), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    place = {"Network": "tcp", "String": f"127.0.0.1:{port}"}
    reattach = {ADDRESS: {"Protocol": "grpc", "ProtocolVersion": 6, "Pid": os.getpid(), "Test": True, "Addr": place}}
    try:
        yield {"TF_REATTACH_PROVIDERS": json.dumps(reattach)}
    finally:
        server.stop(0)


def _schema(block: dict[str, Any]) -> Any:
    return messages.Schema(version=0, block=_block(block))


def _block(block: dict[str, Any]) -> Any:
    made = messages.Schema.Block(version=0)
    for name, attribute in block["attributes"].items():
        required, computed = bool(attribute.get("required")), bool(attribute.get("computed"))
        made.attributes.append(
            messages.Schema.Attribute(
                name=name,
                type=json.dumps(attribute["type"]).encode(),
                required=required,
                optional=not required and not computed,
                computed=computed or (name in GIVEN and not required),
            )
        )
    for name, nested in block["blocks"].items():
        single = name == "timeouts"
        kinds = messages.Schema.NestedBlock
        made.block_types.append(
            messages.Schema.NestedBlock(
                type_name=name,
                block=_block(nested["block"]),
                nesting=kinds.SINGLE if single else kinds.LIST,
                min_items=int(nested["required"] and not single),
                max_items=0 if nested["many"] or single else 1,
            )
        )
    return made
