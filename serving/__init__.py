"""The gRPC prediction server: features from the online stores, scores from Triton, snapshots and events to Kafka."""
