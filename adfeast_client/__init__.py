"""Calls prediction servers from an ad server in Python: deadline, retry, hedge, and a ring that keeps users apart.

It needs grpcio and protobuf, and nothing of the platform but the messages of serving/proto.
"""

from adfeast_client.client import Client
from adfeast_client.errors import CallFailed
from adfeast_client.policy import Policy

__all__ = ["CallFailed", "Client", "Policy"]
