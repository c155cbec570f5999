"""The messages of the service, generated from adfeast.proto."""
