"""Clients of what the server talks to: HTTP, Kafka, AWS signatures."""
