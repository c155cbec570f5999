"""How commands end; click itself ends with 2 when it cannot read the command line."""

DONE = 0
FAILED = 1  # something is wrong: look at what was said
WAITS = 3  # nothing is wrong: what is asked for cannot be done yet, or is being done by another process

HELP = f"Exit codes: {DONE} done, {FAILED} failed, 2 wrong usage, {WAITS} waits or is refused: try again later."
