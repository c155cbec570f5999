"""Names by which a published model is known in MLflow and in Triton."""

REGISTERED_MODEL = "ctr"
PRODUCTION_ALIAS = "production"
SERVING_TAG = "production"  # tag of the registered model: Triton name of what answers; prediction servers follow it
OUTPUT = "probability"
SIGNATURE_PARAMETER = "signature_hash"


def triton_model(version: int | str) -> str:
    """Triton name of a version: one Triton model each, so that a new signature never touches a running one."""
    return f"{REGISTERED_MODEL}-{int(version):06d}"
