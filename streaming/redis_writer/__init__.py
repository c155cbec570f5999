"""Feature topics to Redis."""
