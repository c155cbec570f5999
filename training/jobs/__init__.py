"""Spark jobs over the lake."""
