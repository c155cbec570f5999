"""Names by which a published model is known in MLflow and in Triton.

Two names in MLflow say what is production. The registered model's tag `production` holds the name in Triton, version
and flavour: prediction servers follow it, and it is written last. The alias `production` names the version, for people.
"""

REGISTERED_MODEL = "ctr"
PRODUCTION_ALIAS = "production"
PRODUCTION_TAG = "production"
OUTPUT = "probability"
SIGNATURE_PARAMETER = "signature_hash"
INPUTS_PARAMETER = "signature"  # the whole signature as JSON: a server needs nothing else to know a model's inputs
PRIOR_PARAMETER = "prior"  # the click rate that is answered when nothing else can be
DEFAULT_FLAVOUR = "onnx"


def triton_model(version: int | str, flavour: str = DEFAULT_FLAVOUR) -> str:
    """Triton name of a version in a flavour: one Triton model each, so that a new one never touches a running one."""
    return f"{REGISTERED_MODEL}-{int(version):06d}-{flavour}"


def parse_triton_model(name: str) -> tuple[int, str]:
    """Version and flavour of a name in Triton.

    Raises:
        ValueError: it is not the name of a published model.
    """
    model, _, rest = name.partition("-")
    version, _, flavour = rest.partition("-")
    if model != REGISTERED_MODEL or not version.isdecimal() or not flavour:
        raise ValueError(f"{name!r} is not the name of a published model ({triton_model(1)!r} is one)")
    return int(version), flavour
