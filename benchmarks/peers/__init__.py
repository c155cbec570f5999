"""What others would write first, to measure against."""

TOPIC = "naive_snapshots"  # where the naive server publishes what it served
