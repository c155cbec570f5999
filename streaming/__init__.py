"""Real-time features and the archive: planned from the definitions, run by Flink, written to Redis."""
