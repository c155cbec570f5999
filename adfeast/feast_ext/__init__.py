"""What Feast loads by name, and the helpers that definitions are declared with."""
