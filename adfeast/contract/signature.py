"""The ordered inputs of a model, derived from a feature service, and their hash.

On the wire a batch of B candidates is four tensors, every one with a batch dimension:
`dense` float32 [B, D], `ids` int64 [B, S], `lists` int64 [B, sum of max_len] padded with -1, and
`embeddings` float32 [B, sum of dim]; columns stand in the order of the inputs of that role.
The hash is the SHA-256 of canonical JSON and holds nothing fitted; it travels with every snapshot, every registered
model and every Triton model, and two sides that differ refuse each other.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Literal

from adfeast.errors import SignatureMismatch

# Where an input comes from: the two entities of an auction, or what the caller says.
USER, AD, REQUEST = "user", "ad", "request"
Role = Literal["dense", "sparse", "list", "embedding"]
TENSORS: dict[Role, str] = {"dense": "dense", "sparse": "ids", "list": "lists", "embedding": "embeddings"}
DTYPES: dict[Role, str] = {"dense": "float32", "sparse": "int64", "list": "int64", "embedding": "float32"}


@dataclass(frozen=True)
class Input:
    """One input of a model.

    Attributes:
        name: the feature's name, unique in a service.
        view: the feature view, or the request source, it comes from.
        source: `user`, `ad` (the entity whose key looks it up) or `request` (the caller says it).
        dtype: `int64`, `float32`, `float64`, `string`, `int64_list` or `float32_list`: its type in Feast.
        width: columns it takes in its tensor: 1, `max_len` of a list, `dim` of an embedding.
        hash_size: buckets of a sparse or list input, else 0.
        transform: applied to a dense input inside the model.
        default: the value of a dense input that is missing.
        aggregation: canonical text of its window, or empty; a changed window is another input.
    """

    name: str
    view: str
    source: str
    role: Role
    dtype: str
    width: int = 1
    hash_size: int = 0
    transform: str = "none"
    default: float = 0.0
    aggregation: str = ""


@dataclass(frozen=True)
class Signature:
    """The ordered inputs of one feature service."""

    service: str
    inputs: tuple[Input, ...]

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON, 64 hex digits."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def role(self, role: Role) -> tuple[Input, ...]:
        """The inputs of one tensor, in column order."""
        return self._by_role[role]

    def width(self, role: Role) -> int:
        """Columns of one tensor."""
        return sum(i.width for i in self.role(role))

    @cached_property
    def _by_role(self) -> dict[Role, tuple[Input, ...]]:
        return {role: tuple(i for i in self.inputs if i.role == role) for role in TENSORS}

    def columns(self, shared: bool, role: Role) -> list[int]:
        """Positions in a role's tensor that are the same for all candidates of a request (`shared`: user and request
        inputs) or differ (ad inputs)."""
        found: list[int] = []
        position = 0
        for i in self.role(role):
            if (i.source != AD) == shared:
                found.extend(range(position, position + i.width))
            position += i.width
        return found

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no blanks."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Signature:
        raw = json.loads(text)
        return cls(raw["service"], tuple(Input(**i) for i in raw["inputs"]))

    def require(self, found: str, what: str) -> None:
        """Refuses another signature's hash.

        Raises:
            SignatureMismatch: `what` was made for other inputs.
        """
        if found != self.hash:
            raise SignatureMismatch(what, self.hash, found)
