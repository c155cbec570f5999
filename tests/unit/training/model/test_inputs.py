from dataclasses import replace

import pytest

from adfeast.contract.signature import Contract, Signature
from training.model.errors import InputError
from training.model.inputs import choose, hold


def names(signature: Signature) -> list[str]:
    return [i.name for i in signature.inputs]


def test_a_model_takes_the_service_unless_told_otherwise(signature: Signature) -> None:
    assert choose(signature) == signature
    wanted = choose(signature, features=["s1", "d0", "l0"], drop=["l0"], hash_sizes={"s1": 99})
    assert names(wanted) == [n for n in names(signature) if n in ("s1", "d0")]
    assert {i.name: i.hash_size for i in wanted.inputs} == {"s1": 99, "d0": 0}
    assert wanted.service == signature.service
    assert wanted.hash != signature.hash


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"features": ["d0", "nope"]}, "'nope' is no input of service 'generated'"),
        ({"drop": ["nope"]}, "'nope' is no input"),
        ({"hash_sizes": {"d0": 5}}, "'d0'.*dense input and has no buckets"),
        ({"hash_sizes": {"s0": 0}}, "'s0' must be at least 1, got 0"),
        ({"features": ["d0"], "hash_sizes": {"s0": 5}}, "'s0'.*does not take it"),
        ({"features": ["d0"], "drop": ["d0"]}, "no input of service 'generated' is left"),
    ],
)
def test_what_cannot_be_taken_is_named(signature: Signature, asked: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):
        choose(signature, **asked)


def test_an_input_that_was_never_logged_is_named_and_left_out(
    signature: Signature, caplog: pytest.LogCaptureFixture
) -> None:
    changed = replace(signature.inputs[0], made="another window")
    logged = Contract.union(Signature("s", (changed, *signature.inputs[2:])))
    kept, never = hold(signature, logged, "leave_out")
    assert kept.inputs == signature.inputs[2:]
    assert never == names(signature)[:2]
    assert f"{changed.name!r} (logged as it was made before: {changed.name})" in caplog.text
    assert hold(signature, Contract.union(signature), "leave_out") == (signature, [])
    assert hold(signature, logged, "missing") == (signature, never)


def test_what_was_asked_for_by_name_is_not_left_out_in_silence(signature: Signature) -> None:
    logged = Contract.union(Signature("s", signature.inputs[1:]))
    name = signature.inputs[0].name
    with pytest.raises(InputError, match=f"never logged with '{name}', which was asked for"):
        hold(signature, logged, "leave_out", named=[name])
    assert hold(signature, logged, "missing", named=[name]) == (signature, [name])
    with pytest.raises(InputError, match="none of the model's inputs"):
        hold(Signature("s", signature.inputs[:1]), logged, "leave_out")
