"""The arithmetic behind the figures of `make bench`."""

import os
import subprocess
import sys

import pytest

from benchmarks.harness.cpu import CpuMeter, per_request, rates
from benchmarks.harness.errors import BenchmarkError
from benchmarks.harness.report import cost_table
from benchmarks.harness.results import CLIENT, Result, medians, ratios, verdict

# A parent that sleeps while its child burns a known amount of CPU, and reaps it or not.
BURN = "import time; s = time.process_time()\nwhile time.process_time() - s < 0.5: pass\nprint('done', flush=True)\n"
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {burn!r} + {then!r}], stdout=subprocess.PIPE)
child.stdout.readline()
if {reap}: child.wait()
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("reap", [True, False])
def test_cpu_of_children_counts_once_whether_they_live_or_ended(reap):
    code = PARENT.format(burn=BURN, then="" if reap else "import time; time.sleep(60)", reap=reap)
    # A group of its own: the child must go with its parent.
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert parent.stdout.readline() == b"ready\n"
        used = CpuMeter({"burner": parent.pid}).read()["burner"]
    finally:
        os.killpg(parent.pid, 9)
        parent.wait()
    assert 0.48 <= used < 0.95  # twice 0.5 s, were it counted twice; two starts of Python besides


def test_a_part_that_died_is_named():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with pytest.raises(BenchmarkError, match=r"valkey .*died"):
        CpuMeter({"valkey": ended.pid}).read()


def test_cpu_per_request_takes_off_what_is_used_when_idle():
    before, after = {"server": 10.0, "broker": 5.0}, {"server": 12.0, "broker": 5.1}
    idle = rates({"server": 0.0, "broker": 1.0}, {"server": 0.0, "broker": 1.5}, seconds=5)
    assert idle == {"server": 0.0, "broker": 0.1}
    cost = per_request(before, after, idle, seconds=4, requests=1000)
    assert cost == {"server": pytest.approx(2.0), "broker": 0.0}  # 0.1 s used, 0.4 s expected of it: not negative


def test_a_window_without_requests_has_no_cost():
    with pytest.raises(BenchmarkError, match="no request"):
        per_request({"server": 0.0}, {"server": 1.0}, {}, seconds=4, requests=0)


def block(subject, clients=1, server=1.0, client=0.5, p50=2.0, rate=100.0):
    return Result(subject, clients, 10, rate, p50, p50 * 3, {"server": server, CLIENT: client})


def test_medians_are_taken_by_subject_and_clients():
    blocks = [block("a", server=s, p50=s) for s in (1.0, 9.0, 2.0)] + [block("a", clients=8), block("b")]
    first, *others = medians(blocks)
    assert (first.cpu_ms["server"], first.p50_ms, first.p99_ms, first.blocks, first.requests) == (2.0, 2.0, 6.0, 3, 30)
    assert [(r.subject, r.clients, r.blocks) for r in others] == [("a", 8, 1), ("b", 1, 1)]


def test_ratios_say_how_many_times_more_the_other_costs():
    results = [
        block("ours", server=2.0, client=1.0, p50=3.0, rate=300.0),
        block("peer", server=30.0, client=3.0, p50=6.0),
    ]
    results.append(block("peer", clients=8))  # nothing of ours to compare with
    (only,) = ratios(results, "ours")
    assert (only.other, only.clients) == ("peer", 1)
    assert (only.cpu, only.cpu_with_client, only.p50, only.rate) == (15.0, 11.0, 2.0, 3.0)


@pytest.mark.parametrize(("server", "word"), [(20.0, "target met"), (19.9, "target NOT met")])
def test_the_verdict_judges_the_peer_without_the_load_client(server, word):
    results = [block("ours", server=2.0), block("variant", server=5.0), block("peer", server=server)]
    (line,) = verdict(ratios(results, "ours"), "peer", "variant", target=10.0).splitlines()
    assert word in line
    assert "4.0 times 'variant'" in line


def test_the_table_has_a_column_for_every_part_and_a_line_for_every_result():
    results = [block("ours"), Result("floor", 1, 5, 1.0, 1.0, 2.0, {"cache": 0.25})]
    table = cost_table("title", results)
    assert [c.header for c in table.columns][5:-1] == ["CPU, all", "server", "cache", CLIENT]
    by_name = {c.header: list(c.cells) for c in table.columns}
    assert by_name["cache"] == ["-", "0.25"]
    assert by_name["CPU, all"] == ["1.00", "0.25"]
