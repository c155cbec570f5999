"""Prints the path of the Python that runs it, if its library can be loaded; otherwise ends with exit code 1.

Standard library only: the Makefile asks it before anything is installed.
"""

from __future__ import annotations

import ctypes
import os
import sys
import sysconfig


def has_library() -> bool:
    """Whether libpython of this interpreter is a shared library that the loader finds."""
    name = sysconfig.get_config_var("INSTSONAME") or ""
    for path in (os.path.join(sysconfig.get_config_var("LIBDIR") or "", name), name):
        try:
            ctypes.CDLL(path)
        except OSError:
            continue
        return ".so" in name
    return False


if __name__ == "__main__":
    if not has_library():
        sys.exit(1)
    sys.stdout.write(sys.executable + "\n")
