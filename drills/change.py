"""The week of changes: everything that people change while traffic runs and programs are killed.

`python -m drills.change` (`make drill-change`) plays it for ten minutes and more; `--short`, as in the test suite,
leaves out what needs Spark and training, and has less traffic and fewer kills. It ends with an error that lists every
promise that was broken.

The promises: no Predict fails (two servers behind one address, callers that retry UNAVAILABLE), no acknowledged event
is lost or counted twice, and every online value of every stream view equals the naive twin at the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import click

from adfeast import fleet
from adfeast.clock import SystemClock
from adfeast.contract import event_schemas
from adfeast.contract.events import IMPRESSIONS
from drills import edits
from drills.command import tell
from drills.outcome import Outcome, Say, judge
from drills.stage import Stage, last_minute, stage
from drills.waiting import until
from infra.stored import Tables

SEED = 11
LEAST_S = 600.0
SHORT_RATE, SHORT_KILL_EVERY_S = 20.0, 30.0
SEEN_WITHIN_S = 240.0
SCHEMA_SPREADS_S = 6.0  # servers look every two seconds which schema the jobs can read
# What changes, by which edit, and the feature that every server logs then; the short form applies all at once.
ADDED: tuple[tuple[str, edits.Edit, str], ...] = (
    ("stream aggregation added", edits.add_a_window, edits.WINDOW),
    ("batch column added", edits.add_a_column, edits.COLUMN),
    ("whole view added", edits.add_a_view, f"{edits.VIEW}_3m"),
    ("request feature added", edits.add_a_request_feature, edits.ASKED),
)


class _Play:
    def __init__(self, on: Stage, outcome: Outcome, say: Say) -> None:
        self.on, self.outcome, self._say = on, outcome, say
        self.set: str = ""  # training set of the first minutes

    def step(self, name: str, act: Callable[[], object]) -> None:
        begun = time.monotonic()
        act()
        self.outcome.steps.append((name, time.monotonic() - begun))
        failed = len(self.on.traffic.seen.failed)
        self._say(f"  {name}: {self.outcome.steps[-1][1]:.1f} s, {failed} Predicts failed so far")

    def apply(self, *changes: edits.Edit, kill: bool = True, logged: tuple[str, ...] = ()) -> None:
        """Edits, `feast apply` (killed once on the way), and waits until both servers log the new features."""
        for change in changes:
            change(self.on.repo)
        self.on.commands.feast_apply(kill=kill)
        wanted = set(logged)
        until(f"that {wanted or 'the change'} is logged", lambda: self._logged() >= wanted, SEEN_WITHIN_S)

    def _logged(self) -> set[str]:
        """Features that every alive server logs."""
        from adfeast.contract.history import CONTRACT, History
        from adfeast.contract.signature import Contract

        known = {e.id: e.body for e in History(self.on.settings).entries(CONTRACT)}
        reports = fleet.servers(self.on.settings, SystemClock().now_ms())
        if not reports:
            return set()
        each = [{i.name for i in Contract.from_json(known[r.contract]).inputs} for r in reports]
        return set.intersection(*each)

    def event_column(self) -> None:
        """Sent once the running jobs can read it; until then senders of today and of yesterday go on."""
        self.apply(edits.add_an_event_column)

        def known() -> bool:
            schema = event_schemas.writing(self.on.settings, self.on.definitions, IMPRESSIONS)
            return edits.EVENT_COLUMN in {f["name"] for f in schema["fields"]}

        until("that the stream jobs read the new column", known, 480)
        time.sleep(SCHEMA_SPREADS_S)
        self.on.traffic.extra[edits.EVENT_COLUMN] = 7

    def materialize(self) -> None:
        late = ("--lateness", "5s", "--grace", "5s")
        at = last_minute(timedelta(seconds=5))
        self.on.commands.adfeast("batch", "materialize", "--until", at, "--every", "60s", *late, kill=True)

    def labels(self) -> None:
        """A training set of everything so far, under every contract there was."""
        made = self.on.commands.adfeast(
            *("batch", "labels", "--start", self.on.began.isoformat(), "--end", last_minute(timedelta(0))),
            *("--label-window", "5s", "--grace", "1s", "--name", "drill"),
            kill=True,
        )
        self.set, self.outcome.figures["training rows"] = made["path"], made["counts"]["rows"]
        self.on.commands.adfeast("batch", "validate", self.set)

    def train(self, name: str, *options: str) -> int:
        out = str(self.on.root / "artifacts" / name)
        if self.set:
            # Minutes of made-up clicks can show nothing: whether it is better is not asked.
            beside = ("--not-logged", "missing", "--no-incumbent")
            asked = ("model", "train", "--training-set", self.set, "--out", out, *beside, *options)
        else:
            asked = ("model", "bootstrap", "--prior", "0.03", "--out", out)
        self.on.commands.adfeast(*asked)
        return int(self.on.commands.adfeast("model", "register", "--artifact", out, kill=True)["version"])

    def deploy(self, version: int, *, kill: bool = True) -> None:
        name = self.on.commands.adfeast("model", "deploy", "--version", str(version), kill=kill)["name"]
        answered = self.on.traffic.seen.answered[name]
        until(f"that {name} answers", lambda: self.on.traffic.seen.answered[name] > answered, SEEN_WITHIN_S)

    def refused_removal(self) -> None:
        before = {f: f.read_text() for f in self.on.repo.glob("*.py")}
        edits.remove_the_view(self.on.repo)
        text = self.on.commands.feast_apply(refused=True)
        if edits.REMOVED not in text:
            self.outcome.problems.append(f"the refusal does not name {edits.REMOVED}: {text[-500:]}")
        for file, content in before.items():
            file.write_text(content)

    def removal(self, version: int) -> None:
        """First nobody reads it, then it goes, then its table."""
        for name in [m.name for m in fleet.loaded_models(self.on.settings)]:
            if int(name.split("-")[1]) != version:
                until(f"that {name} can be unloaded", partial(self._unloaded, name), SEEN_WITHIN_S)
        self.apply(edits.remove_the_view)
        tables = Tables(self.on.settings)
        table = tables.name(edits.REMOVED)
        if edits.REMOVED not in tables.views():
            self.outcome.problems.append(f"feast apply dropped {table}")

        def gone() -> bool:
            self.on.commands.adfeast("gc", "--apply")
            return edits.REMOVED not in tables.views()

        until(f"that gc drops {table}", gone, SEEN_WITHIN_S)

    def _unloaded(self, name: str) -> bool:
        from drills.errors import CommandFailed

        try:
            self.on.commands.adfeast("model", "unload", "--name", name)
        except CommandFailed:
            return False
        return True


def act(on: Stage, outcome: Outcome, say: Say, *, short: bool) -> None:
    """Everything that people change, while the traffic of a stage runs and its killer kills."""
    on.killer.start()
    p, first, second = _Play(on, outcome, say), 1, 0
    known = {f.name for view in on.definitions.views.values() for f in view.features}
    added = [change for change in ADDED if change[2] not in known]
    for together in [added] if short else [[change] for change in added]:
        names, changes, logged = zip(*together, strict=True)
        p.step(", ".join(names), partial(p.apply, *changes, logged=logged))
        if edits.COLUMN in logged and not short:
            p.step("batch views made", p.materialize)
    on.traffic.context[edits.ASKED] = 5
    p.step("event column added, an old producer goes on", p.event_column)
    p.step("view taken out of the service", lambda: p.apply(edits.take_out_of_the_service))
    if not short:
        p.step("labels under every contract", p.labels)
    options = ("--hash-size", "ad_key=2048") if not short else ()

    def model() -> None:
        nonlocal second
        second = p.train("second", *options)

    p.step("model of before and after, without that view", model)
    p.step("deployed", lambda: p.deploy(second))
    p.step("rolled back", lambda: p.deploy(first))
    p.step("removal under a model refused", p.refused_removal)
    p.step("deployed again", lambda: p.deploy(second))
    p.step("view removed, and its table", lambda: p.removal(second))


def play(root: Path, *, short: bool, say: Say, least_s: float = LEAST_S) -> Outcome:
    """Plays the drill in a folder of its own; nothing runs afterwards.

    Raises:
        Broken: a promise was broken; the message lists all.
    """
    outcome, begun = Outcome(), time.monotonic()
    rate, kill_every_s = (SHORT_RATE, SHORT_KILL_EVERY_S) if short else (50.0, 8.0)
    with stage(root, rate, kill_every_s, SEED) as on:
        say(f"traffic runs: {rate:.0f} Predicts a second, a kill about every {kill_every_s:.0f} s")
        act(on, outcome, say, short=short)
        while time.monotonic() - begun < least_s and not short:
            time.sleep(1.0)
        judge(on, outcome, say)
    return outcome.ended(begun)


@click.command()
@click.option("--short", is_flag=True, help="Without Spark and training, with less traffic.")
@click.option("--minutes", default=LEAST_S / 60, show_default=True, help="At least so long.")
def main(short: bool, minutes: float) -> None:
    """The week of changes."""
    tell(partial(play, short=short, say=click.echo, least_s=60 * minutes))


if __name__ == "__main__":
    main()
