"""Schemas are kept for ever; a change that would make a message undecodable is refused; readers change first."""

import time
from dataclasses import replace

import pytest

from adfeast.contract.definitions import Definitions
from adfeast.contract.event_schemas import known, mark_readable, readable, record, schemas, writing
from adfeast.contract.events import fingerprint
from adfeast.contract.snapshots import TOPIC as SNAPSHOTS
from adfeast.errors import DefinitionError
from adfeast.settings import Settings

ENVELOPE = [
    {"name": "event_id", "type": "string"},
    {"name": "event_timestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}},
]


def of(*columns: dict) -> dict:
    return {"type": "record", "name": "Bid", "fields": [*ENVELOPE, *columns]}


FIRST = of({"name": "price", "type": "double"})
SECOND = of({"name": "price", "type": "double"}, {"name": "shop", "type": "string", "default": ""})


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(registry_url=f"sqlite:///{tmp_path}/registry.db", ledger_url=f"sqlite:///{tmp_path}/ledger.db")


def definitions(schema: dict) -> Definitions:
    return Definitions("p", {}, {}, {"bids": schema}, {}, {}, {})


def recorded(settings: Settings, *bids: dict) -> None:
    for schema in bids:
        record(settings, definitions(schema))
        time.sleep(0.002)  # the order of what is recorded in one millisecond is not known


def test_every_schema_is_known_newest_last(settings):
    recorded(settings, FIRST, SECOND, FIRST)
    assert known(settings, "bids") == [FIRST, SECOND]
    assert known(settings, SNAPSHOTS) == [schemas(definitions(FIRST))[SNAPSHOTS]]
    assert known(replace_project(settings), "bids") == []


def replace_project(settings: Settings) -> Settings:
    return settings.model_copy(update={"project": "other"})


@pytest.mark.parametrize(
    ("column", "says"),
    [
        ({"name": "price", "type": "float", "default": 0}, "'price' was double and cannot become float"),
        ({"name": "colour", "type": "string"}, r"'colour' \(string\) .* default"),
        ({"name": "price", "type": {"type": "array", "items": "double"}}, "price"),
    ],
)
def test_a_change_that_messages_do_not_survive_is_refused(settings, column, says):
    recorded(settings, FIRST)
    with pytest.raises(DefinitionError, match=says):
        record(settings, definitions(of(column)))
    assert known(settings, "bids") == [FIRST]


def test_time_is_not_a_number(settings):
    recorded(settings, of({"name": "at", "type": "long"}))
    changed = of({"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}})
    with pytest.raises(DefinitionError, match="'at' was long and cannot become timestamp-millis"):
        record(settings, definitions(changed))


def test_producers_wait_for_the_running_jobs(settings):
    assert writing(settings, definitions(FIRST), "bids") == FIRST  # no job ever ran
    mark_readable(settings, {"bids": [fingerprint(FIRST).hex()]})
    time.sleep(0.002)
    assert writing(settings, definitions(SECOND), "bids") == FIRST
    both = [fingerprint(s).hex() for s in (FIRST, SECOND)]
    mark_readable(settings, {"bids": both})
    assert readable(settings) == {"bids": frozenset(both)}
    assert writing(settings, definitions(SECOND), "bids") == SECOND
    assert writing(settings, definitions(FIRST), "bids") == FIRST  # taken back


def test_an_unknown_topic_is_named(settings):
    known_ones = replace(definitions(FIRST), events={"bids": FIRST})
    with pytest.raises(DefinitionError, match="'clicks' is no event source"):
        writing(settings, known_ones, "clicks")
