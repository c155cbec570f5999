"""Versions of the click model: MLflow's registry, promotion into production through Triton, and the journal of it."""
