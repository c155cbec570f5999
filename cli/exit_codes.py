"""What the exit code of a command says, so that a script can tell what went wrong from what it may try again."""

from __future__ import annotations

from adfeast.errors import AdfeastError

DONE = 0
FAILED = 1
USAGE = 2  # click's own: the command line is wrong
WAITS = 3
HELP = """\b
Exit codes:
  0  done
  1  failed: look at what was said
  2  the command line is wrong
  3  waits or is refused for now: somebody else is at work on it, its input is not complete, or the state of the
     platform does not allow it yet; the same may be asked again later
"""


def exit_code(error: AdfeastError) -> int:
    """FAILED, or WAITS for what may be asked again unchanged once the state is another."""
    return WAITS if error.later else FAILED
