"""Which inputs a model takes: a choice of the feature service's, as far as they were logged."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from adfeast.contract.signature import Contract, Signature
from training.data.columns import column_names
from training.model.dataset import NotLoggedRows
from training.model.errors import InputError
from training.model.prep import MISSING_NUMBER

log = logging.getLogger(__name__)


def choose(
    service: Signature,
    features: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    hash_sizes: Mapping[str, int] | None = None,
) -> Signature:
    """The inputs of a service, in its order, narrowed and with other bucket counts.

    Args:
        features: names of those taken; None takes all.
        drop: names of those left out.
        hash_sizes: buckets by name of a sparse or list input.

    Raises:
        InputError: a name is not an input of the service, has no buckets to change, or nothing is left.
    """
    sizes = dict(hash_sizes or {})
    known = {i.name: i for i in service.inputs}
    for name in (*(features or ()), *drop, *sizes):
        if name not in known:
            raise InputError(f"{name!r} is no input of service {service.service!r}: it has {', '.join(known)}")
    taken = [n for n in known if (features is None or n in features) and n not in drop]
    for name, size in sizes.items():
        if name not in taken:
            raise InputError(f"hash size of {name!r}: the model does not take it")
        if known[name].role not in ("sparse", "list"):
            raise InputError(f"hash size of {name!r}: it is a {known[name].role} input and has no buckets")
        if size < 1:
            raise InputError(f"hash size of {name!r} must be at least 1, got {size}")
    if not taken:
        raise InputError(f"no input of service {service.service!r} is left: name fewer with drop or more with features")
    return Signature(
        service.service, tuple(replace(known[n], hash_size=sizes.get(n, known[n].hash_size)) for n in taken)
    )


def tell_missing(signature: Signature) -> Signature:
    """The same inputs, of which a model is told where a number is missing, too old or stale.

    A default of the definitions (0 clicks, say) cannot be told from a value that really is so.
    """
    inputs = (replace(i, default=MISSING_NUMBER) if i.role == "dense" else i for i in signature.inputs)
    return Signature(signature.service, tuple(inputs))


def hold(
    wanted: Signature, logged: Contract, not_logged: NotLoggedRows, named: Sequence[str] = ()
) -> tuple[Signature, list[str]]:
    """The inputs that a training set can give, and the names of those that it was never logged with.

    Those are left out of the model, or kept and always missing when `not_logged` says so.

    Args:
        named: inputs that were asked for by name and may not be left out.

    Raises:
        InputError: one of `named` was never logged, or nothing is left.
    """
    held = column_names(logged)
    never = [i.name for i in wanted.inputs if i.identity not in held]
    if not never:
        return wanted, []
    what = ", ".join(repr(n) + _otherwise(n, held.values()) for n in never)
    if not_logged == "missing":
        log.warning("%d inputs were never logged and are always missing: %s", len(never), what)
        return wanted, never
    if asked := [n for n in never if n in named]:
        raise InputError(
            f"the training set was never logged with {', '.join(map(repr, asked))}, which was asked for: join labels "
            "over a time in which it was logged, or give it as missing"
        )
    log.warning("%d inputs were never logged and are left out of the model: %s", len(never), what)
    kept = tuple(i for i in wanted.inputs if i.identity in held)
    if not kept:
        raise InputError(
            f"the training set was logged with none of the model's inputs; it holds {', '.join(held.values())}"
        )
    return Signature(wanted.service, kept), never


def _otherwise(name: str, columns: Iterable[str]) -> str:
    others = [c for c in columns if c.partition("@")[0] == name]
    return f" (logged as it was made before: {', '.join(others)})" if others else ""
