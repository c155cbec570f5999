"""The Flink jobs: their SQL, and the program that starts them in the Flink environment."""
