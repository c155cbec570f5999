"""From a request to its answer, and from reported events to Kafka."""
