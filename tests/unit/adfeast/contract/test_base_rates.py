"""Click rates come back from their file, and are those of the impressions."""

import numpy as np
import pytest

from adfeast.contract.base_rates import BaseRates


def test_an_ad_has_its_own_rate_steadied_by_one_click_of_the_prior():
    ads = ["often"] * 9_000 + ["seldom"] * 999 + ["once"]
    labels = np.zeros(10_000)
    labels[:90] = labels[9_000:9_009] = labels[-1] = 1
    found = BaseRates.count(ads, labels)
    assert found.prior == pytest.approx(0.01, rel=0.01)
    often, seldom, once, nobody = found.of(["often", "seldom", "once", "nobody"])
    assert often == pytest.approx(0.01, rel=0.02)
    assert seldom == pytest.approx(10 / 1099, rel=0.01)
    assert once == pytest.approx(2 / 101, rel=0.01)  # not 1
    assert np.isnan(nobody)


def test_an_impression_counts_as_many_as_it_stands_for():
    ads, labels = ["a"] * 400 + ["b"] * 100, np.zeros(500)
    labels[:40] = labels[400:405] = 1
    kept = np.flatnonzero(labels.astype(bool) | (np.arange(500) % 5 == 0))
    weights = np.where(labels[kept] == 1, 1, (500 - 45) / (len(kept) - 45))
    whole, few = BaseRates.count(ads, labels), BaseRates.count([ads[n] for n in kept], labels[kept], weights)
    assert few.prior == pytest.approx(whole.prior)
    assert few.of(["a", "b"]) == pytest.approx(whole.of(["a", "b"]), rel=0.1)


def test_the_most_shown_ads_are_kept():
    found = BaseRates.count(["a"] * 3 + ["b"] + ["c"] * 2, np.zeros(6), most=2)
    assert np.isfinite(found.of(["a", "b", "c"])).tolist() == [True, False, True]
    assert 0 < found.prior < 1  # also without a click


def test_a_file_brings_them_back():
    made = BaseRates.count(["a", "b", "b"], np.array([1, 0, 0]))
    found = BaseRates.from_bytes(made.to_bytes())
    assert found.prior == made.prior
    assert found.of(["a", "b"]).tolist() == made.of(["a", "b"]).tolist()
    assert np.isnan(BaseRates.from_bytes(BaseRates(0.2).to_bytes()).of(["a"])).all()


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"{}", BaseRates(2.0).to_bytes()])
def test_what_is_no_such_file_is_refused(data):
    with pytest.raises(ValueError, match="base rates"):
        BaseRates.from_bytes(data)
