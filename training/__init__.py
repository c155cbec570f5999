"""Spark jobs, materialization, validation, data set, models, calibration, evaluation, export."""
