"""Reads JSON strictly, and a large list in pieces: while the standard library parses, nobody else can run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from adfeast.errors import shown
from serving.errors import InvalidRequest

_BLANKS = re.compile(r"[ \t\r\n]*")


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        names = [name for name, _ in members]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{shown(twice)} stands there twice")
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_number)


def malformed(problem: str) -> InvalidRequest:
    """The error of a text that is no JSON, or another than expected."""
    return InvalidRequest(f"the body is not the JSON that it should be: {problem}", "see GET /v1/openapi.json")


class JsonText:
    """A JSON text, read from its beginning on.

    Raises:
        InvalidRequest: by every method, and when it is made: the text is not UTF-8, not JSON, has a name twice in an
            object, or a number that is none.
    """

    def __init__(self, body: bytes) -> None:
        try:
            self._text, self._at = body.decode(), 0
        except UnicodeDecodeError as error:
            raise malformed(f"not UTF-8 at byte {error.start}") from error

    def whole(self) -> Mapping[str, Any]:
        """The object that the text is."""
        found = self.value()
        self._end()
        if not isinstance(found, dict):
            raise malformed(f"{shown(found)} is no object")
        return found

    def members(self) -> Iterator[str]:
        """The names in the object that the text is; whoever is given one reads its value before the next."""
        self._need("{")
        names: set[str] = set()
        while names or not self.begins("}"):
            name = self.value()
            if not isinstance(name, str) or name in names:
                raise malformed(f"{shown(name)} is no name, or stands there twice")
            names.add(name)
            self._need(":")
            yield name
            if not self.take(","):
                break
        self._need("}")
        self._end()

    def items(self) -> Iterator[Any]:
        """The values of a list that begins here."""
        self._need("[")
        if not self.begins("]"):
            yield self.value()
            while self.take(","):
                yield self.value()
        self._need("]")

    def value(self) -> Any:
        """The value that begins here."""
        self._skip()
        try:
            found, self._at = _DECODER.raw_decode(self._text, self._at)
        except RecursionError as error:
            raise malformed("it is nested too deeply") from error
        except ValueError as error:
            raise malformed(str(error)) from error
        return found

    def begins(self, char: str) -> bool:
        """Whether this comes next."""
        self._skip()
        return self._text.startswith(char, self._at)

    def take(self, char: str) -> bool:
        """Goes on behind a character, if it comes next."""
        if not self.begins(char):
            return False
        self._at += 1
        return True

    def _need(self, char: str) -> None:
        if not self.take(char):
            raise malformed(f"{char!r} is missing at character {self._at}")

    def _skip(self) -> None:
        match = _BLANKS.match(self._text, self._at)
        self._at = match.end() if match else self._at

    def _end(self) -> None:
        self._skip()
        if self._at != len(self._text):
            raise malformed(f"something follows it at character {self._at}")
