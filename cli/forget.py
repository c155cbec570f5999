"""`adfeast forget`: deletes what the platform holds of one user."""

from __future__ import annotations

import click

from adfeast.clock import SystemClock, to_datetime
from adfeast.settings import load_settings
from cli.answer import Answer, answers
from cli.exit_codes import DONE, WAITS
from infra.privacy.forget import Deployment, Forgotten, find
from infra.privacy.forget import forget as forget_user


@click.command()
@click.option("--user", required=True, help="The user's id, as events bring it.")
@click.option("--apply", is_flag=True, help="Do it; without, only say where the user is.")
@answers
def forget(user: str, apply: bool) -> Answer:
    """Find one user in the online stores and in the lake with its training sets; --apply deletes what is found.

    It ends with 3 while something that is under way could bring the user back: run the same again when it says so,
    until it ends with 0. The record keeps a keyed hash of the id (setting forget_key). Kafka's topics are left to their
    retention.
    """
    deployment, clock = Deployment.of(load_settings()), SystemClock()
    result = forget_user(deployment, user, clock) if apply else find(deployment, user, clock)
    code = WAITS if apply and result.waits else DONE
    return Answer(_data(result) | {"deleted": apply}, _lines(result, apply), code)


def _data(result: Forgotten) -> dict[str, object]:
    request, kafka = result.request, result.kafka_until_ms
    return {
        "subject": request.subject if request else None,
        "asked": to_datetime(request.asked_ms) if request else None,
        "done": to_datetime(request.done_ms) if request and request.done_ms is not None else None,
        "passes": request.passes if request else 0,
        "rows": request.rows if request else {},
        "found": result.found,
        "waits": list(result.waits),
        "kafka_until": None if kafka is None else to_datetime(kafka),
    }


def _lines(result: Forgotten, apply: bool) -> list[str]:
    what = "deleted" if apply else "would delete"
    lines = [f"{what} {rows} rows of {place}" for place, rows in sorted(result.found.items())]
    lines = lines or ["no place holds the user"]
    if request := result.request:
        state = "open" if request.done_ms is None else f"done {_time(request.done_ms)}"
        lines.append(f"request {request.subject[:12]} of {_time(request.asked_ms)}: {state}, {request.passes} passes")
        until = "for ever: kafka_retention_ms is -1" if result.kafka_until_ms is None else _time(result.kafka_until_ms)
        lines.append(f"Kafka's topics may hold the user's messages until {until}")
    return [*lines, *(f"waits: {reason}" for reason in result.waits)]


def _time(ms: int) -> str:
    return to_datetime(ms).isoformat(timespec="seconds")
