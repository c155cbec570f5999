"""What is logged and what a model takes: two things that share feature identities.

An `Identity` is a feature as it is made and stored: view, name, type, width and how it is made. Two identities that
differ in any of these are different features, whatever their names. The log's `Contract` is an ordered set of
identities, kept by hash for ever (adfeast.contract.history). A model's `Signature` is an ordered set of inputs: an
identity each, and what the model does with it (buckets, transform, default). A feature can be logged before any model
takes it, and taken while older models still serve.

Both lay out the same four tensors, every one with a batch dimension B of candidates: `dense` float32 [B, D], `ids`
int64 [B, S], `lists` int64 [B, sum of max_len] padded with -1, and `embeddings` float32 [B, sum of dim]; columns stand
in the order of the features of that role. Hashes are the SHA-256 of canonical JSON and hold nothing fitted.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, Generic, Literal, TypeVar

from adfeast.errors import SignatureMismatch

# Where a feature comes from: the two entities of an auction, or what the caller says.
USER, AD, REQUEST = "user", "ad", "request"
Role = Literal["dense", "sparse", "list", "embedding"]
TENSORS: dict[Role, str] = {"dense": "dense", "sparse": "ids", "list": "lists", "embedding": "embeddings"}
DTYPES: dict[Role, str] = {"dense": "float32", "sparse": "int64", "list": "int64", "embedding": "float32"}


@dataclass(frozen=True)
class Identity:
    """A feature as it is made and logged.

    Attributes:
        name: the feature's name, unique among all views.
        view: the feature view, or the request source, it comes from.
        source: `user`, `ad` (the entity whose key looks it up) or `request` (the caller says it).
        role: which tensor it stands in.
        dtype: `int64`, `float32`, `float64`, `string`, `int64_list` or `float32_list`: its type in Feast.
        width: columns it takes in its tensor: 1, `max_len` of a list, `dim` of an embedding.
        made: how it is made: the canonical text of its window, or the digest of the query that computes it.
    """

    name: str
    view: str
    source: str
    role: Role
    dtype: str
    width: int = 1
    made: str = ""

    @property
    def identity(self) -> Identity:
        """Only what identifies it."""
        return Identity(**{f.name: getattr(self, f.name) for f in fields(Identity)})


@dataclass(frozen=True)
class Input(Identity):
    """An identity, and what a model does with it.

    Attributes:
        hash_size: buckets of a sparse or list input, else 0.
        transform: applied to a dense input inside the model.
        default: the value of a dense input that is missing.
    """

    hash_size: int = 0
    transform: str = "none"
    default: float = 0.0


F = TypeVar("F", bound=Identity)


class Layout(Generic[F]):
    """An ordered set of features and the columns they take; what derives from it declares `inputs`."""

    inputs: tuple[F, ...]

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON, 64 hex digits."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def role(self, role: Role) -> tuple[F, ...]:
        """The features of one tensor, in column order."""
        return self._by_role[role]

    def width(self, role: Role) -> int:
        """Columns of one tensor."""
        return sum(i.width for i in self.role(role))

    @cached_property
    def _by_role(self) -> dict[Role, tuple[F, ...]]:
        return {role: tuple(i for i in self.inputs if i.role == role) for role in TENSORS}

    @cached_property
    def starts(self) -> dict[tuple[str, str], int]:
        """First column of each feature in the tensor of its role, by view and name."""
        found: dict[tuple[str, str], int] = {}
        for role in TENSORS:
            at = 0
            for i in self.role(role):
                found[i.view, i.name] = at
                at += i.width
        return found

    def columns(self, shared: bool, role: Role) -> list[int]:
        """Positions in a role's tensor that are the same for all candidates of a request (`shared`: user and request
        features) or differ (ad features)."""
        found: list[int] = []
        position = 0
        for i in self.role(role):
            if (i.source != AD) == shared:
                found.extend(range(position, position + i.width))
            position += i.width
        return found

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no blanks."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))  # type: ignore[call-overload]


@dataclass(frozen=True)
class Contract(Layout[Identity]):
    """The ordered features of a snapshot."""

    inputs: tuple[Identity, ...]

    @classmethod
    def union(cls, *layouts: Layout[Any]) -> Contract:
        """The identities of all, each once, in the order in which they are first named."""
        return cls(tuple(dict.fromkeys(i.identity for layout in layouts for i in layout.inputs)))

    @classmethod
    def from_json(cls, text: str) -> Contract:
        return cls(tuple(Identity(**i) for i in json.loads(text)["inputs"]))


@dataclass(frozen=True)
class Signature(Layout[Input]):
    """The ordered inputs of one model, made from one feature service."""

    service: str
    inputs: tuple[Input, ...]

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
