"""The Flink jobs: their SQL, and the program that starts them in the Flink environment."""

PLANNED = "planned"  # what the program says when all its SQL could be planned
STARTED = "started "  # and before the id of a job that the cluster has accepted
