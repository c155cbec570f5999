"""Our own programs. They need definitions (and a model) before they can run, so they are started on demand."""

from __future__ import annotations

import grpc
from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient
from grpc_health.v1 import health_pb2, health_pb2_grpc

from infra.local.errors import NotReady
from infra.local.home import Home, program
from infra.local.part import Part
from infra.local.ports import Ports

SERVICE = "adfeast.v1.Prediction"


def prediction_server(home: Home, ports: Ports) -> Part:
    """Ready when its gRPC health service says so."""
    address = f"127.0.0.1:{ports.get('prediction_server')}"

    def check() -> None:
        with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
            try:
                answer = health_pb2_grpc.HealthStub(channel).Check(
                    health_pb2.HealthCheckRequest(service=SERVICE), timeout=2
                )
            except grpc.RpcError as error:
                raise NotReady(str(error)) from error
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise NotReady(f"health is {answer.status}")

    return Part(
        name="prediction_server",
        command=[program("adfeast"), "serve"],
        environment={"ADFEAST_SETTINGS": str(home.settings_file)},
        check=check,
        address=address,
        settings={"grpc_address": address},
        app=True,
    )


def redis_writer(home: Home, ports: Ports, project: str) -> Part:
    """It listens nowhere; ready when its consumer group has been given partitions.

    Kafka counts a killed writer as a member for a few seconds more, and may answer for the dead one as long.
    """
    bootstrap = f"127.0.0.1:{ports.get('kafka')}"

    def check() -> None:
        from streaming.redis_writer import writer_group

        group = writer_group(project)
        client = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        try:
            found = client.describe_consumer_groups([group], request_timeout=3)[group].result()
        except KafkaException as error:
            raise NotReady(str(error)) from error
        assigned = sum(len(m.assignment.topic_partitions) for m in found.members if m.assignment)
        if found.state != ConsumerGroupState.STABLE or not assigned:
            raise NotReady(f"consumer group {group} is {found.state.name} with {assigned} partitions")

    return Part(
        name="redis_writer",
        command=[program("adfeast"), "stream", "write"],
        environment={"ADFEAST_SETTINGS": str(home.settings_file)},
        check=check,
        app=True,
    )
