"""Side-by-side measurements: one file a question, each with the peer or the floor it is measured against."""
