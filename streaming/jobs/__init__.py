"""The Flink jobs: their SQL, and the program that starts them in the Flink environment."""

PLANNED = "planned"  # what the program says when all its SQL could be planned
