"""A trained model to its flavours, and what runs of it inside Triton."""
