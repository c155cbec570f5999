"""Where a platform keeps its files, and where the installed programs lie."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from adfeast.settings import ROOT
from infra.local.errors import PlatformError

INSTALLED = ROOT / ".local"
SOCKET_LIMIT = 85  # a unix socket path has 107 bytes, and supervisord appends its pid while it binds


@dataclass(frozen=True)
class Home:
    """The folder of one running platform."""

    root: Path

    @property
    def run(self) -> Path:
        """Generated configuration; safe to delete while the platform is down."""
        return self.root / "run"

    @property
    def settings_file(self) -> Path:
        return self.root / "settings.yaml"

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def started(self) -> Path:
        """Names of our programs that run whenever the platform does, one a line."""
        return self.state / "started"

    def data(self, part: str) -> Path:
        return self.root / "data" / part

    def log(self, part: str) -> Path:
        return self.root / "logs" / f"{part}.log"

    @property
    def socket(self) -> Path:
        """The supervisor's socket: in the home, or in a private folder under /tmp when the home's path is too long.

        Not TMPDIR: that may be too long itself.
        """
        inside = self.run / "supervisor.sock"
        if len(os.fsencode(inside)) <= SOCKET_LIMIT:
            return inside
        name = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]
        return Path("/tmp") / f"adfeast-{os.getuid()}-{name}" / "supervisor.sock"

    def forget_socket(self) -> None:
        """Removes the private folder of a socket that did not fit into the home."""
        if self.socket.parent != self.run:
            shutil.rmtree(self.socket.parent, ignore_errors=True)

    def make(self) -> None:
        """Creates the folders; jars and environments show as links, so that `settings.local` always finds them."""
        for folder in (self.run, self.state, self.root / "logs", self.root / "data"):
            folder.mkdir(parents=True, exist_ok=True)
        self.socket.parent.mkdir(mode=0o700, exist_ok=True)
        if self.socket.parent.stat().st_uid != os.getuid():
            raise PlatformError(f"{self.socket.parent} belongs to somebody else: remove it")
        for name in ("jars", "env"):
            link = self.root / name
            if self.root != INSTALLED and not link.exists():
                link.symlink_to(INSTALLED / name)


def program(name: str) -> str:
    """A program of the platform's own Python environment."""
    return str(Path(sys.prefix) / "bin" / name)


def environment(name: str) -> Path:
    """Folder of the Python environment `flink` or `triton`.

    Raises:
        PlatformError: it is not installed.
    """
    folder = INSTALLED / "env" / name
    if not (folder / "bin" / "python").exists():
        raise PlatformError(f"the Python environment {folder} is missing: run `make setup`")
    return folder


def site_packages(name: str) -> Path:
    """Folder of the packages of the Python environment `name`."""
    return next((environment(name) / "lib").glob("python3*")) / "site-packages"


def jars(name: str) -> Path:
    """Folder of the jars copied for `name` by infra/local/setup/pom.xml.

    Raises:
        PlatformError: they are not there.
    """
    folder = INSTALLED / "jars" / name
    if not any(folder.glob("*.jar")):
        raise PlatformError(f"no jars in {folder}: run `make setup`")
    return folder


def java() -> str:
    """The Java launcher, of JAVA_HOME or else of PATH.

    Raises:
        PlatformError: there is none.
    """
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if found is None:
        raise PlatformError("no Java found: run `python3 -m infra.local.setup.prerequisites`")
    return found


def log4j(home: Home) -> str:
    """JVM option naming the one log4j 2 configuration of all JVM parts: to the console, which the supervisor keeps."""
    file = home.run / "log4j2.properties"
    file.write_text(
        "rootLogger.level=INFO\nrootLogger.appenderRef.console.ref=console\n"
        "appender.console.type=Console\nappender.console.name=console\nappender.console.layout.type=PatternLayout\n"
        "appender.console.layout.pattern=%d{ISO8601} %-5p %c{1} %m%n\n"
    )
    return f"-Dlog4j.configurationFile={file}"
