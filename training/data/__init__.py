"""Spark jobs over the lake, materialization, the run ledger, validation."""
