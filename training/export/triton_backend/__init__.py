"""What runs inside Triton: `model.py` is copied into every exported model and imports nothing of this repository."""
