"""Runs steps one after the other: shows progress, takes the time, keeps what each found out for the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from demo.errors import StepFailed
from demo.report.results import Fact, Report, Step

POLL_S = 0.25


@dataclass
class Running:
    """A step while it runs: `facts` to keep, and `progress` to move its bar."""

    progress: Callable[..., None]
    facts: dict[str, Fact] = field(default_factory=dict)


class Stage:
    """The terminal and the report of one run."""

    def __init__(self, console: Console, report: Report) -> None:
        self.console, self.report = console, report
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self._bars = Progress(*columns, console=console, transient=True)

    @contextmanager
    def step(self, title: str, what: str) -> Iterator[Running]:
        """One step; its line stays on the terminal when it is done, and its exception passes through."""
        task = self._bars.add_task(title, total=None)

        def progress(done: float, total: float | None = None) -> None:
            self._bars.update(task, completed=done, total=total)

        running = Running(progress)
        started = time.perf_counter()
        try:
            yield running
        except BaseException:
            self.console.print(f"[red]✗[/red] [bold]{title}[/bold] after {time.perf_counter() - started:.1f} s")
            raise
        finally:
            self._bars.remove_task(task)
        took = time.perf_counter() - started
        self.report.steps.append(Step(title, what, took, running.facts))
        facts = ", ".join(f"{k} {v:,.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in running.facts.items())
        self.console.print(f"[green]✓[/green] [bold]{title}[/bold] {took:5.1f} s  [dim]{facts}[/dim]", highlight=False)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._bars.stop()


def wait_until(check: Callable[[], str | None], deadline_s: float) -> None:
    """Polls `check` until it returns None; else it says what is still missing.

    Raises:
        StepFailed: something was still missing after `deadline_s`.
    """
    give_up = time.monotonic() + deadline_s
    while (missing := check()) is not None:
        if time.monotonic() > give_up:
            raise StepFailed(f"after {deadline_s:.0f} s: {missing}")
        time.sleep(POLL_S)
