"""What the measurements share: load, CPU accounting, generated data, tables."""
