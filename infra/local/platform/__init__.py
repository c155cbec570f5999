"""The supervised processes of one machine."""
