"""What the writer does with Redis: rows and watermarks in pipelines, and asking whether they outlive its death."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

import hiredis
import redis

from adfeast.access import RedisAccess
from adfeast.feast_ext.online_layout import redis_watermarks_key
from adfeast.redis_slots import ASKING
from adfeast.settings import Settings
from streaming.redis_writer.connection import Connection, command
from streaming.redis_writer.layout import Rows
from streaming.redis_writer.values import bulk

# Rows that one call of the script writes: a third of a row's price would be its own call.
TOGETHER = 64
# Calls that are sent before their answers are read, so that a slow server answers in time.
CALLS = 32
SYNC_MS = 5_000
ASKED = 4  # commands of one question

# KEYS: hashes. ARGV: the least seconds to live and those that are set then, the number of fields, the fields, the row
# time's first; for each hash the newest stored time (ms) that gives way, and the values.
# A Timestamp is two varints, seconds and nanos, of which either may be missing.
WRITE_IF_NEWER = """
local keep, life, n = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local function ms(text)
  local found, i = 0, 1
  while i <= #text do
    local tag, value, unit = string.byte(text, i), 0, 1
    repeat
      i = i + 1
      local b = string.byte(text, i)
      value, unit = value + (b % 128) * unit, unit * 128
    until b < 128
    found, i = found + (tag == 8 and value * 1000 or value / 1000000), i + 1
  end
  return found
end
local row, at, older = {}, 3 + n, 0
for f = 1, n do row[2 * f - 1] = ARGV[3 + f] end
for k = 1, #KEYS do
  local stored = redis.call('HGET', KEYS[k], ARGV[4])
  if stored and ms(stored) > tonumber(ARGV[at + 1]) then
    older = older + 1
  else
    for f = 1, n do row[2 * f] = ARGV[at + 1 + f] end
    redis.call('HSET', KEYS[k], unpack(row))
    if redis.call('TTL', KEYS[k]) < keep then redis.call('EXPIRE', KEYS[k], life) end
  end
  at = at + 1 + n
end
return older
"""
# KEYS: the hash of watermarks. ARGV: fields and milliseconds; none goes back.
ADVANCE = """
for i = 1, #ARGV, 2 do
  local stored = redis.call('HGET', KEYS[1], ARGV[i])
  if not stored or tonumber(stored) < tonumber(ARGV[i + 1]) then redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
return 0
"""


class Safety(Enum):
    """Whether what was written outlives the death of the server; `UNKNOWN`: it cannot say so."""

    ASKED = "asked"
    SAFE = "safe"
    UNSAFE = "unsafe"
    UNKNOWN = "unknown"


class RedisStore:
    """The writer's connections to one server: one for rows, one to ask by; both are made by `connect`.

    Args:
        access: the server; by default that of the settings.
        probe: a key of the server to ask by.
        together, calls: see `TOGETHER` and `CALLS`.
    """

    def __init__(
        self,
        settings: Settings,
        access: RedisAccess | None = None,
        probe: bytes = b"",
        together: int = TOGETHER,
        calls: int = CALLS,
    ) -> None:
        self._access = access or RedisAccess.of(settings)
        self._together, self._calls = together, calls
        self._watermarks = redis_watermarks_key(settings.project)
        self._probe = probe or f"adfeast:written:{settings.project}".encode()
        self._rows: Connection | None = None
        self._asking: Connection | None = None
        self._write = self._advance = b""
        self._heard: list[Any] = []
        self._expected = 0  # answers on the connection to ask by
        self._copies = 0  # replicas that must have what is safe: one, if there is one

    def connect(self) -> None:
        """Makes new connections; what was asked on the former ones is forgotten.

        Raises:
            redis.ConnectionError: Redis does not answer, or not as it should.
        """
        self.close()
        self._heard, self._expected = [], 0
        self._rows, self._asking = Connection(self._access), Connection(self._access)
        self._copies = min(1, self._asking.replicas)
        if self._rows.run_id != self._asking.run_id:
            raise redis.ConnectionError(f"two servers answer at {self._access}")
        self._write, self._advance = (self._load(script) for script in (WRITE_IF_NEWER, ADVANCE))

    def close(self) -> None:
        """Closes what is open."""
        for connection in (self._rows, self._asking):
            if connection:
                connection.close()
        self._rows = self._asking = None

    def _load(self, script: str) -> bytes:
        return bytes(self._call([command(b"SCRIPT", b"LOAD", script.encode())], strict=True)[0])

    def _call(self, commands: Sequence[bytes], *, strict: bool = False) -> list[Any]:
        if self._rows is None:
            raise redis.ConnectionError("not connected")
        self._rows.send(b"".join(commands))
        answers = [self._rows.answer() for _ in commands]
        for answer in answers:
            if isinstance(answer, hiredis.ReplyError) and (strict or str(answer).startswith("NOSCRIPT")):
                # A flushed script cache: connecting again loads the scripts.
                raise redis.ConnectionError(str(answer))
        return answers

    def write(self, rows: Sequence[Rows]) -> tuple[int, list[tuple[Rows, int, str]]]:
        """Writes rows; returns how many were older than what is stored, and what Redis refuses: rows, place, reason.

        Raises:
            redis.ConnectionError: none, some or all rows were written; writing them again does no harm.
        """
        n = self._together
        pieces = [(r, range(i, min(i + n, len(r.keys)))) for r in rows for i in range(0, len(r.keys), n)]
        older, bad = 0, []
        answers = []
        for i in range(0, len(pieces), self._calls):
            answers += self._call([self._command(*p) for p in pieces[i : i + self._calls]])
        for (r, piece), answer in zip(pieces, answers, strict=True):
            if isinstance(answer, int):
                older += answer
                continue
            # One of them, such as a key that holds something else, keeps the others from being written.
            single = self._call([self._command(r, range(i, i + 1)) for i in piece])
            older += sum(found for found in single if isinstance(found, int))
            bad += [(r, i, str(e)) for i, e in zip(piece, single, strict=True) if isinstance(e, hiredis.ReplyError)]
        return older, bad

    def write_arriving(self, rows: Rows, place: int) -> int | str:
        """Writes one row of a slot that is on its way to this server: 1 if it was older, or why it is refused.

        Raises:
            redis.ConnectionError: as above.
        """
        _, answer = self._call([ASKING, self._command(rows, range(place, place + 1))])
        return answer if isinstance(answer, int) else str(answer)

    def _command(self, rows: Rows, piece: range) -> bytes:
        count = 3 + 3 + rows.width + len(piece) * (2 + rows.width)
        head = b"*%d\r\n$7\r\nEVALSHA\r\n%b%b" % (count, bulk(self._write), bulk(b"%d" % len(piece)))
        part = slice(piece.start, piece.stop)
        return b"".join((head, *rows.keys[part], rows.constant, *rows.arguments[part]))

    def advance(self, watermarks: Mapping[bytes, int], counts: Mapping[bytes, int]) -> None:
        """Moves fields of the hash of watermarks on, and sets the numbers of ways.

        Raises:
            redis.ConnectionError: as above.
        """
        moved = [x for field, ms in watermarks.items() for x in (field, b"%d" % ms)]
        commands = [command(b"EVALSHA", self._advance, b"1", self._watermarks, *moved)]
        if counts:
            given = [x for field, n in counts.items() for x in (field, b"%d" % n)]
            commands.append(command(b"HSET", self._watermarks, *given))
        self._call(commands, strict=True)

    def ask(self) -> None:
        """Asks whether everything written until now outlives the death of the server; see `told`."""
        if self._asking is None:
            raise redis.ConnectionError("not connected")
        # The log and the replicas are in the order of the writes: with the probe everything before it is safe.
        self._asking.send(
            command(b"INFO", b"replication")
            + command(b"SET", self._probe, b"", b"EX", b"60")
            + command(b"WAIT", b"%d" % self._copies, b"%d" % SYNC_MS)
            + command(b"WAITAOF", b"1", b"0", b"%d" % SYNC_MS)
        )
        self._expected += ASKED

    def told(self, *, wait: bool = False) -> Safety:
        """The answer to `ask`, which may be that there is none yet.

        Raises:
            redis.ConnectionError: as above.
        """
        if self._asking is None:
            raise redis.ConnectionError("not connected")
        while len(self._heard) < self._expected and (wait or self._asking.ready()):
            self._heard.append(self._asking.answer())
        if len(self._heard) < self._expected:
            return Safety.ASKED
        # Of several questions the last one's answer, which is about all that was written before it.
        told, put, copied, logged = self._heard[-ASKED:]
        self._heard, self._expected = [], 0
        wanted, self._copies = self._copies, 0 if b"connected_slaves:0" in told else 1
        if isinstance(put, hiredis.ReplyError):
            raise redis.ConnectionError(str(put))
        if isinstance(copied, int) and copied < wanted:
            return Safety.UNSAFE
        if isinstance(logged, hiredis.ReplyError):
            return Safety.UNKNOWN
        return Safety.SAFE if logged[0] >= 1 else Safety.UNSAFE
