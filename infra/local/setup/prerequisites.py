"""Checks what the Makefile cannot install without root: `python3 -m infra.local.setup.prerequisites`.

Runs before anything is installed, so it uses the standard library only, of any Python from 3.8 on.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import pwd
import re
import shutil
import subprocess
import sys
from typing import NamedTuple

JDK = 17
UNTRIED_JDK = 24
DISK_GB, MEMORY_GB = 12, 6
GLIBC = (2, 28)


class Missing(NamedTuple):
    """Something that is not there, and the packages that bring it."""

    what: str
    debian: str = ""
    fedora: str = ""


def java_version(output: str) -> int:
    """Major version in what `java -version` or `javac -version` prints; 0 if there is none.

    Only a line that names a version counts: the JVM prints the options that it picked up first, and they hold paths.

    >>> java_version('openjdk version "17.0.15" 2025-04-15'), java_version("javac 21"), java_version("javac 1.8.0_392")
    (17, 21, 8)
    >>> java_version('Picked up JAVA_TOOL_OPTIONS: -Djava.io.tmpdir=/src2/tmp\\nopenjdk version "17.0.15" 2025-04-15')
    17
    """
    found = re.search(r'^(?:javac |[\w-]+ version ")(\d+)(?:\.(\d+))?', output, re.MULTILINE)
    if not found:
        return 0
    first, second = int(found.group(1)), int(found.group(2) or 0)
    return second if first == 1 else first


def _program(name: str) -> str | None:
    home = os.environ.get("JAVA_HOME")
    return shutil.which(name, path=os.path.join(home, "bin")) if home else shutil.which(name)


def _version(program: str) -> int:
    run = subprocess.run([program, "-version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return 0 if run.returncode else java_version(run.stdout.decode(errors="replace"))


def _jdk() -> list[Missing]:
    packages = ("default-jdk-headless", "java-21-openjdk-devel")
    where = "in JAVA_HOME ({})".format(os.environ["JAVA_HOME"]) if os.environ.get("JAVA_HOME") else "on the PATH"
    for name in ("java", "javac"):
        path = _program(name)
        if path is None:
            return [Missing(f"a JDK, {JDK} or later (no {name} {where})", *packages)]
        version = _version(path)
        if not version:
            return [Missing(f"a JDK, {JDK} or later (`{path} -version` fails or names no version)", *packages)]
        if version < JDK:
            return [Missing(f"a JDK, {JDK} or later ({path} is version {version})", *packages)]
    return []


def _tools() -> list[Missing]:
    found = [Missing(name, name, name) for name in ("make", "git", "tar") if shutil.which(name) is None]
    if not any(map(shutil.which, ("mvn", "curl", "wget"))):
        found.append(Missing("curl (Maven's wrapper downloads with it)", "curl", "curl"))
    if shutil.which("uv") is None and not all(map(importlib.util.find_spec, ("venv", "ensurepip"))):
        found.append(Missing("Python's venv module (to install uv)", "python3-venv", "python3-pip"))
    return found


def _machine() -> list[Missing]:
    found = []
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        found.append(Missing(f"x86-64 Linux (this is {sys.platform} on {platform.machine()})"))
    name, version = platform.libc_ver()
    numbers = tuple(int(n) for n in re.findall(r"\d+", version)[:2])
    if name != "glibc" or numbers < GLIBC:
        found.append(
            Missing("glibc {}.{} or later (this is {} {})".format(*GLIBC, name or "another C library", version))
        )
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        found.append(Missing(f"a name for user {os.getuid()} in /etc/passwd (Hadoop and Flink ask for it)"))
    return found


def missing() -> list[Missing]:
    """Everything that is missing."""
    return _machine() + _jdk() + _tools()


def warnings() -> list[str]:
    """What may make a first run fail, but need not."""
    found = []
    java = _program("java")
    if java is not None and _version(java) >= UNTRIED_JDK:
        found.append(
            f"Java {_version(java)}: from {UNTRIED_JDK} on, Java lacks what Hadoop and Flink ask of it; take 17 or 21"
        )
    free = shutil.disk_usage(os.getcwd()).free / 1e9
    if free < DISK_GB:
        found.append(f"{free:.0f} GB of disk are free here; a first run needs up to {DISK_GB}")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    if memory < MEMORY_GB:
        found.append(f"this machine has {memory:.0f} GB of memory; all parts together need about {MEMORY_GB}")
    return found


def message(found: list[Missing]) -> str:
    """One message: what is missing, and the command that installs it."""
    lines = ["Adfeast needs, and this machine lacks:", *(f"  - {m.what}" for m in found)]
    if any(m.debian for m in found):
        lines += [
            "Install on Debian or Ubuntu: sudo apt-get install -y " + " ".join(m.debian for m in found if m.debian),
            "Install on Fedora:           sudo dnf install -y " + " ".join(m.fedora for m in found if m.fedora),
        ]
    return "\n".join(lines)


def main() -> int:
    """Exit code 1 when something is missing."""
    for warning in warnings():
        sys.stderr.write(f"warning: {warning}\n")
    found = missing()
    if found:
        sys.stderr.write(message(found) + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
