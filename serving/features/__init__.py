"""Reads a feature service from the two online tiers into columns, in Feast's own layouts."""
