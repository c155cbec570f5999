"""What the README says of costs is what the amounts and the prices give, for the sizes that the environments have."""

from __future__ import annotations

import re

import pytest

from adfeast.settings import ROOT
from infra import terraform_costs as costs

FOLDER = ROOT / "infra" / "terraform"


def test_the_readme_holds_both_tables_as_they_are_computed() -> None:
    text = (FOLDER / "README.md").read_text()
    assert costs.months() in text
    assert costs.prices() in text
    assert f"noted on {costs.NOTED}" in text


@pytest.mark.parametrize("place", range(len(costs.SIZES)), ids=costs.SIZES)
def test_machines_that_are_paid_for_are_those_of_the_environment(place: int) -> None:
    sizes = (FOLDER / "environments" / costs.SIZES[place] / "sizes.tf").read_text()
    kinds = {
        kind
        for kind in re.findall(r'"((?:[a-z]+\.)?[a-z0-9]+\.[0-9]*[a-z]+)"', sizes)
        if not kind.startswith("g")  # groups that begin with no node
    }
    paid = {line.price for line in costs.LINES if "." in line.price and line.amounts[place]}
    assert kinds == paid


def test_every_price_is_used() -> None:
    assert {line.price for line in costs.LINES} == costs.PRICES.keys()
