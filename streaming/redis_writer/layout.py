"""A row of a feature topic as Feast keeps it in Redis: `get_online_features` reads it (see adfeast/online_layout.py).

Values are serialized Feast `Value` messages, times serialized Timestamps.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from adfeast.contract.definitions import View
from adfeast.contract.events import EVENT_TIME
from adfeast.feast_ext.online_layout import redis_field, redis_key, redis_time_field
from adfeast.feast_ext.registry import feast_protos
from streaming.errors import BadFeatureRow

with feast_protos():
    from feast.protos.feast.types.Value_pb2 import Value as ValueProto
from google.protobuf.timestamp_pb2 import Timestamp

VALUE_FIELDS = {"int64": "int64_val", "float64": "double_val", "float32": "float_val"}

# A row with an older time never overwrites a newer one; an equal time does, as it is a correction of the same moment.
# ARGV is the list of fields and values, the row's Timestamp first; a Timestamp is two varints, seconds and nanos.
WRITE_IF_NEWER = """
local function read(text)
  local parts, i = {0, 0}, 1
  while i <= #text do
    local field, value, unit = math.floor(string.byte(text, i) / 8), 0, 1
    repeat
      i = i + 1
      local b = string.byte(text, i)
      value, unit = value + (b % 128) * unit, unit * 128
    until b < 128
    parts[field], i = value, i + 1
  end
  return parts
end
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if stored then
  local old, new = read(stored), read(ARGV[2])
  if old[1] > new[1] or (old[1] == new[1] and old[2] > new[2]) then return 0 end
end
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
"""


@lru_cache(maxsize=1 << 16)
def _value(kind: str, number: int | float) -> bytes:
    value = ValueProto()
    setattr(value, kind, number)
    return bytes(value.SerializeToString())


def _timestamp(ms: int) -> bytes:
    seconds, rest = divmod(ms, 1000)
    return bytes(Timestamp(seconds=seconds, nanos=rest * 1_000_000).SerializeToString())


class RowLayout:
    """Turns the rows of one view's topic into keys and hash fields; everything constant is worked out once."""

    def __init__(self, view: View, project: str) -> None:
        self.view, self.project = view, project
        self.names = {f.name for f in view.features}
        self._time_field = redis_time_field(view.name)
        self._fields = [(f.name, redis_field(view.name, f.name), VALUE_FIELDS[f.dtype]) for f in view.features]

    def encode(self, row: Mapping[str, Any]) -> tuple[bytes, int, list[bytes]]:
        """Redis key, event time in milliseconds and `[field, value, ...]`, the time's field first.

        A feature that the row has not is left as it is: the row was made before the feature was declared.

        Raises:
            BadFeatureRow: no key, no time or a value of another type.
        """
        key, ms = row.get(self.view.join_key), row.get(EVENT_TIME)
        if not isinstance(key, str) or not key:
            raise BadFeatureRow(f"{self.view.join_key} must be a text that is not empty, got {key!r}")
        if not isinstance(ms, int) or isinstance(ms, bool) or ms <= 0:
            raise BadFeatureRow(f"{EVENT_TIME} must be milliseconds since 1970, got {ms!r}")
        fields = [self._time_field, _timestamp(ms)]
        for name, field, kind in self._fields:
            if name not in row:
                continue
            number = row[name]
            wanted = (int,) if kind == "int64_val" else (int, float)
            if not isinstance(number, wanted) or isinstance(number, bool):
                raise BadFeatureRow(f"{name} must be a number for {kind}, got {number!r}")
            fields += [field, _value(kind, number)]
        return redis_key(self.view.join_key, key, self.project), ms, fields
