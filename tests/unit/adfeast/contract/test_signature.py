"""A signature is the ordered inputs and a hash of just them."""

import dataclasses

import pytest

from adfeast.contract.signature import Contract, Input, Signature
from adfeast.errors import SignatureMismatch

SIGNATURE = Signature(
    "s",
    (
        Input("a", "v", "user", "dense", "float32"),
        Input("b", "w", "ad", "list", "int64_list", width=3, hash_size=10),
        Input("c", "w", "ad", "dense", "int64", default=2.0, transform="log1p"),
        Input("d", "r", "request", "list", "int64_list", width=2, hash_size=10),
    ),
)


def test_json_brings_back_the_same_signature():
    again = Signature.from_json(SIGNATURE.to_json())
    assert again == SIGNATURE
    assert again.hash == SIGNATURE.hash


def test_tensor_columns_know_what_a_request_shares():
    assert SIGNATURE.width("list") == 5
    assert SIGNATURE.columns(shared=True, role="list") == [3, 4]
    assert SIGNATURE.columns(shared=False, role="list") == [0, 1, 2]
    assert SIGNATURE.columns(shared=True, role="dense") == [0]
    assert SIGNATURE.columns(shared=True, role="embedding") == []


@pytest.mark.parametrize(
    "change",
    [
        {"name": "z"},
        {"dtype": "int64"},
        {"default": 1.0},
        {"transform": "log1p"},
        {"made": "count(x) of seen, 60s by 1s"},
    ],
)
def test_every_property_of_an_input_is_in_the_hash(change):
    other = Signature("s", (dataclasses.replace(SIGNATURE.inputs[0], **change), *SIGNATURE.inputs[1:]))
    assert other.hash != SIGNATURE.hash


def test_the_order_is_in_the_hash():
    assert Signature("s", SIGNATURE.inputs[::-1]).hash != SIGNATURE.hash


def test_another_signature_is_refused_with_both_sides_named():
    with pytest.raises(SignatureMismatch) as refused:
        SIGNATURE.require("f00", "model ctr-000007")
    assert all(part in str(refused.value) for part in ("ctr-000007", "f00", SIGNATURE.hash))


def test_a_contract_holds_what_is_made_and_not_what_a_model_does_with_it():
    other = Signature("s", tuple(dataclasses.replace(i, hash_size=99, default=7.0) for i in SIGNATURE.inputs))
    assert other.hash != SIGNATURE.hash
    assert Contract.union(other) == Contract.union(SIGNATURE)
    more = dataclasses.replace(SIGNATURE.inputs[0], name="more")
    both = Contract.union(SIGNATURE, Signature("s", (more, *SIGNATURE.inputs[::-1])))
    assert [i.name for i in both.inputs] == ["a", "b", "c", "d", "more"]
    assert Contract.from_json(both.to_json()) == both
