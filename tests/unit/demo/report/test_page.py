from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from adfeast.contract.events import CLICKS, EVENT_TIME, IMPRESSIONS
from demo.errors import StepFailed
from demo.report.judge import judge_served, wilson
from demo.report.page import summarise, write_html
from demo.report.results import Compared, Percentiles, Report, Step, StoredFeature
from demo.stage import Stage, wait_until
from demo.traffic.open_bandit import OpenBandit
from demo.traffic.publish import in_order
from demo.traffic.replay import Served


@pytest.fixture
def report() -> Report:
    random = np.random.default_rng(5)
    scores = random.beta(2, 60, 4000)
    served = [Served(str(n), "a", n, float(p), bool(random.random() < p), "m-2", 1.5) for n, p in enumerate(scores)]
    result, bins = judge_served("m-2", "as served", served)
    return Report(
        "now",
        "here",
        steps=[Step("One <step>", "It did & ended.", 61.2, {"rows": 12345, "rate": 0.00475})],
        counts={"impressions": 60_000, "auctions replayed": 4000, "candidates scored": 200_000},
        predict_ms={"m-2": Percentiles.of([1.0, 2.0, 3.0])},
        freshness_ms={"a_view": Percentiles.of([40.0, 80.0])},
        features=[StoredFeature("user", "u-1", "a_view", "redis", "a_feature", "3", "what it says")],
        models=[result],
        calibration={"m-2": bins},
        compared=[Compared("u-1", 2, "m-1", "m-2", [("ad-1", 0.004, 0.005)])],
        verdict="worse than m-1: by 0.01",
        outcome="registered as version 2 and not deployed: m-1 goes on serving",
        where={"UI": "http://127.0.0.1:1"},
    )


def test_a_report_survives_its_file(report: Report, tmp_path: Path) -> None:
    report.save(tmp_path / "r" / "report.json")
    assert Report.load(tmp_path / "r" / "report.json") == report


def test_the_page_needs_nothing_from_elsewhere(report: Report, tmp_path: Path) -> None:
    page = write_html(report, tmp_path).read_text()
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!#)""", page.replace("xlink:href", "href"))
    assert "@import" not in page
    assert "url(http" not in page
    assert "One &lt;step&gt;" in page
    assert all(text in page for text in ("m-2", "a_view", "CC BY 4.0", "almost no signal", "synthetic"))


def test_the_summary_names_the_page(report: Report, tmp_path: Path) -> None:
    console = Console(record=True, width=200)
    summarise(report, tmp_path / "index.html", console)
    text = console.export_text()
    assert "index.html" in text
    assert "http://127.0.0.1:1" in text


def test_calibrated_scores_are_found_calibrated(report: Report) -> None:
    pcoc = report.models[0].metrics["PCOC"]
    assert pcoc.low < 1 < pcoc.high
    inside = [b.observed.low <= b.predicted <= b.observed.high for b in report.calibration["m-2"]]
    assert sum(inside) >= len(inside) - 1


def test_wilson_against_published_values() -> None:
    """Newcombe 1998, table I: 81 of 263 and 0 of 20."""
    some, none = wilson(81, 263), wilson(0, 20)
    assert (some.low, some.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert (none.low, none.high) == pytest.approx((0.0, 0.1611), abs=5e-5)


@pytest.mark.slow
def test_history_goes_out_in_the_order_of_event_times(data: OpenBandit) -> None:
    events = in_order(data.auctions[:5000])
    times = [event[EVENT_TIME] for _, event in events]
    assert times == sorted(times)
    topics = [topic for topic, _ in events]
    assert topics.count(IMPRESSIONS) == 5000
    assert topics.count(CLICKS) == sum(a.click is not None for a in data.auctions[:5000])


def test_a_failed_step_is_shown_and_not_recorded(report: Report) -> None:
    empty = replace(report, steps=[])
    console = Console(record=True, width=120)
    with pytest.raises(StepFailed), Stage(console, empty) as stage, stage.step("Broken", "It breaks."):
        raise StepFailed("so")
    assert not empty.steps
    assert "Broken" in console.export_text()


def test_waiting_says_what_is_missing() -> None:
    with pytest.raises(StepFailed, match="two rows"):
        wait_until(lambda: "two rows are missing", 0)
