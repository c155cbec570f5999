"""What the exit code of a command says, so that a script can tell what went wrong from what it may try again."""

from __future__ import annotations

from adfeast.errors import AdfeastError

DONE = 0
FAILED = 1
USAGE = 2  # click's own: the command line is wrong
REFUSED = 3
HELP = """\b
Exit codes:
  0  done
  1  failed
  2  the command line is wrong
  3  refused for now: somebody else is at work on it, or the state of the platform does not allow it yet
"""


def exit_code(error: AdfeastError) -> int:
    """FAILED, or REFUSED for what may be asked again unchanged once the state is another."""
    from adfeast.ledger import LeaseLost, RunInProgress
    from registry.errors import InputsNotMade, ModelInUse

    return REFUSED if isinstance(error, RunInProgress | LeaseLost | InputsNotMade | ModelInUse) else FAILED
