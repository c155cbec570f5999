"""`adfeast ...`: each command group lives in a file of its own that is imported only when it is called."""

from __future__ import annotations

import importlib

import click

from adfeast.errors import AdfeastError
from cli.quiet import quiet

# command: the module and the object that hold it
COMMANDS = {
    "up": "cli.platform:up",
    "down": "cli.platform:down",
    "status": "cli.platform:status",
    "logs": "cli.platform:logs",
    "start": "cli.platform:start",
    "stop": "cli.platform:stop",
    "plan": "cli.plan:plan",
    "features": "cli.features:features",
    "gc": "cli.gc:gc",
    "forget": "cli.forget:forget",
    "stream": "cli.stream:stream",
    "serve": "cli.serve:serve",
    "ads": "cli.ads:ads",
    "batch": "cli.batch:batch",
    "labels": "cli.labels:labels",
    "model": "cli.model:model",
    "demo": "cli.demo:demo",
    "world": "cli.world:world",
}


class LazyGroup(click.Group):
    """Imports a command when it is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        quiet()
        module, name = COMMANDS[cmd_name].split(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except AdfeastError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=LazyGroup)
def main() -> None:
    """Adfeast: click-through-rate prediction around Feast."""
