"""What pods are told: settings and commands that the programs have, secrets by reference."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click

from adfeast.errors import SettingsError
from adfeast.settings import Settings
from cli.main import main
from tests.infra.manifests import BY_HAND, Object, of, programs
from tests.infra.pod_rules import SIGNS

SECRET_SETTINGS = {"registry_url", "ledger_url", "aws_access_key_id", "aws_secret_access_key"}
SECRET_SETTINGS |= {"kafka_password", "redis_password", "mlflow_password", "mlflow_token", "triton_token", "forget_key"}
SECRETS = {f"ADFEAST_{name.upper()}" for name in SECRET_SETTINGS} | {"MLFLOW_BACKEND_STORE_URI"}


def secrets_are_references(objects: list[Object]) -> Iterator[str]:
    for o in of(objects, "Secret"):
        yield f"a secret is among the manifests: {o['metadata']['name']}"
    values = [(f"{p} {e['name']}", e) for p in programs(objects) for c in p.containers for e in c.get("env", [])]
    for o in of(objects, "ConfigMap"):
        values += [(f"{o['metadata']['name']} {k}", {"name": k, "value": v}) for k, v in o["data"].items()]
    for where, e in values:
        if e["name"] in SECRETS and "secretKeyRef" not in e.get("valueFrom", {}):
            yield f"a secret stands in the open: {where}"
        if re.search(r"://[^/\s]*:[^/\s]*@", str(e.get("value", ""))):
            yield f"a password stands in the open: {where}"


def settings_are_known(objects: list[Object]) -> Iterator[str]:
    known = {f"ADFEAST_{name.upper()}": name for name in Settings.model_fields}
    shared = next(o["data"] for o in of(objects, "ConfigMap") if o["metadata"]["name"].startswith("settings"))
    for p in programs(objects):
        for c in p.containers:
            if not c.get("envFrom") and p.name in {"server", *SIGNS, BY_HAND}:
                yield f"{p} is given no settings"
            own = {e["name"]: e.get("value", "x") for e in c.get("env", []) if e["name"].startswith("ADFEAST_")}
            said = {**(shared if c.get("envFrom") else {}), **own}
            for unknown in sorted(said.keys() - known.keys()):
                yield f"{p} is given a setting that nobody reads: {unknown}"
            try:
                Settings(**{known[k]: None if v == "null" else v for k, v in said.items() if k in known})  # type: ignore[arg-type]
            except (ValueError, SettingsError) as error:
                yield f"{p} is given a bad setting: {error}"


def commands_exist(objects: list[Object]) -> Iterator[str]:
    for p in programs(objects):
        for c in p.containers:
            probes = [c[k]["exec"]["command"] for k in c if k.endswith("Probe") and "exec" in c[k]]
            for command in [c.get("command", []), *probes]:
                words = command
                if command[:2] == ["sh", "-c"]:
                    words = shlex.split(re.sub(r'"?\$\([^)]*\)"?', "2026-01-02", command[2]))
                if words[:1] == ["adfeast"]:
                    yield from (f"{p}: {problem}" for problem in _usage(words[1:]))


def _usage(words: list[str]) -> Iterator[str]:
    """What click says of a command line without running it."""
    group: click.Command = main
    context, rest = click.Context(main, info_name="adfeast"), words
    try:
        while isinstance(group, click.Group):
            name, found, rest = group.resolve_command(context, rest)
            assert found is not None
            group, context = found, click.Context(found, parent=context, info_name=name)
        group.make_context(group.name, list(rest), parent=context.parent)
    except click.ClickException as error:
        yield f"no such command: adfeast {' '.join(words)}: {error.format_message()}"
