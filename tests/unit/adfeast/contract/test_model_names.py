"""The name in Triton says version and flavour, and both can be read back."""

import pytest

from adfeast.contract.model_names import parse_triton_model, triton_model


@pytest.mark.parametrize(("version", "flavour"), [(3, "onnx"), (1234567, "torchrec_int8"), (1, "a-b")])
def test_version_and_flavour_are_read_back_from_the_name(version: int, flavour: str) -> None:
    assert parse_triton_model(triton_model(version, flavour)) == (version, flavour)


def test_names_differ_by_flavour_and_sort_by_version() -> None:
    assert triton_model(3, "onnx") == "ctr-000003-onnx"
    assert triton_model(3, "onnx") != triton_model(3, "torchrec_fp32")
    assert triton_model(9) < triton_model(10)


@pytest.mark.parametrize("name", ["", "ctr", "ctr-000003", "ctr-000003-", "ctr-x-onnx", "other-000003-onnx"])
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not the name of a published model"):
        parse_triton_model(name)
