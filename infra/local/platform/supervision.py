"""Runs the parts under supervisord, one daemon a home, spoken to over its socket."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import psutil
from supervisor.xmlrpc import Faults, SupervisorTransport

from infra.local.errors import PlatformError
from infra.local.platform.home import Home
from infra.local.platform.part import Part

# In the environment of every process of a platform, so that `down` finds those that left their parent.
MARK = "ADFEAST_PLATFORM_HOME"
# Feast names in them a folder that goes with the process that imported it: who inherits them cannot import Feast then.
NOT_INHERITED = ("PROMETHEUS_MULTIPROCESS_DIR", "PROMETHEUS_MULTIPROC_DIR")

_CONFIG = """[supervisord]
logfile={home}/logs/supervisord.log
pidfile={home}/run/supervisord.pid
childlogdir={home}/logs
directory={home}
nocleanup=true
{user}environment={mark}="{home}"

[unix_http_server]
file={socket}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""

_PROGRAM = """
[program:{name}]
command={command}
environment={environment}
autostart=false
autorestart=true
startsecs=1
startretries=5
stopasgroup=true
killasgroup=true
stopwaitsecs={stop}
redirect_stderr=true
stdout_logfile={log}
stdout_logfile_maxbytes=50MB
stdout_logfile_backups=1
"""


def _escape(value: object) -> str:
    return str(value).replace("%", "%%")


def inherited() -> dict[str, str]:
    """What the parts have of the environment of whoever starts the platform, and may be over when they are not."""
    return {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}


def _environment(values: Mapping[str, str]) -> str:
    for name, value in values.items():
        if '"' in value:
            raise PlatformError(f"{name} holds a double quote, which supervisord cannot pass on: {value}")
    return ",".join(f'{name}="{_escape(value)}"' for name, value in values.items())


def render(home: Home, parts: Iterable[Part]) -> str:
    """The supervisord configuration of `parts`."""
    text = _CONFIG.format(
        home=_escape(home.root), mark=MARK, socket=_escape(home.socket), user="user=root\n" if os.getuid() == 0 else ""
    )
    for part in parts:
        text += _PROGRAM.format(
            name=part.name,
            command=_escape(shlex.join(part.command)),
            environment=_environment({MARK: str(home.root), **part.environment}),
            stop=part.stop_s,
            log=_escape(home.log(part.name)),
        )
    return text


@dataclass(frozen=True)
class Process:
    """What the supervisor says of a part: `state` is one of supervisord's (RUNNING, FATAL, ...), `pid` 0 when down."""

    name: str
    state: str
    pid: int
    uptime_s: int
    message: str


class Supervisor:
    """The daemon of one home."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._config = home.run / "supervisord.conf"

    def _rpc(self) -> Any:
        transport = SupervisorTransport(None, None, serverurl=f"unix://{self.home.socket}")
        return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor

    def running(self) -> bool:
        """Whether the daemon answers."""
        try:
            return bool(self._rpc().getState()["statename"] == "RUNNING")
        except (OSError, xmlrpc.client.Error):
            return False

    def load(self, parts: Iterable[Part]) -> None:
        """Starts the daemon if it is down; otherwise stops and replaces only the parts whose configuration changed."""
        self._config.write_text(render(self.home, parts))
        self._config.chmod(0o600)
        if not self.running():
            self._daemon()
            return
        rpc = self._rpc()
        added, changed, removed = rpc.reloadConfig()[0]
        for name in [*changed, *removed]:
            rpc.stopProcessGroup(name)
            rpc.removeProcessGroup(name)
        for name in [*changed, *added]:
            rpc.addProcessGroup(name)

    def _daemon(self) -> None:
        self.home.socket.unlink(missing_ok=True)
        code = "import sys; from supervisor.supervisord import main; main(sys.argv[1:])"
        command = [sys.executable, "-c", code, "-c", str(self._config)]
        run = subprocess.run(
            command,
            env=inherited() | {MARK: str(self.home.root)},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        deadline = time.monotonic() + 15
        while not self.running():
            if run.returncode or time.monotonic() > deadline:
                log = self.home.log("supervisord")
                raise PlatformError(f"supervisord did not start (see {log}): {run.stdout}{run.stderr}")
            time.sleep(0.05)

    def processes(self) -> dict[str, Process]:
        """Name to state of every part it knows; empty when the daemon is down."""
        try:
            found = self._rpc().getAllProcessInfo()
        except (OSError, xmlrpc.client.Error):
            return {}
        return {
            p["name"]: Process(
                p["name"],
                p["statename"],
                p["pid"],
                p["now"] - p["start"] if p["pid"] else 0,
                p["spawnerr"] or p["description"],
            )
            for p in found
        }

    def start(self, name: str) -> None:
        """Returns at once; a part that runs already is left alone."""
        try:
            self._rpc().startProcess(name, False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != Faults.ALREADY_STARTED:
                raise PlatformError(f"part {name!r} could not be started: {fault.faultString}") from fault

    def stop(self, name: str) -> None:
        """Returns when the part has ended."""
        try:
            self._rpc().stopProcess(name, True)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != Faults.NOT_RUNNING:
                raise PlatformError(f"part {name!r} could not be stopped: {fault.faultString}") from fault

    def stop_all(self, names: Iterable[str]) -> None:
        """Stops parts side by side (a shutdown of the daemon would stop one after the other)."""
        wanted = set(names)
        asked = [name for name, p in self.processes().items() if name in wanted and p.pid]
        for name in asked:
            self._rpc().stopProcess(name, False)
        while any(p.pid for name, p in self.processes().items() if name in asked):
            time.sleep(0.1)

    def shutdown(self, timeout_s: float = 60) -> None:
        """Stops whatever still runs, then the daemon; harmless if it is down."""
        try:
            pid = self._rpc().getPID()
            self._rpc().shutdown()
        except (OSError, xmlrpc.client.Error):
            return
        try:
            psutil.Process(pid).wait(timeout_s)
        except psutil.NoSuchProcess:
            return
        except psutil.TimeoutExpired as error:
            raise PlatformError(f"supervisord (process {pid}) is still stopping after {timeout_s:.0f} s") from error


def leftovers(home: Home) -> list[psutil.Process]:
    """Living processes of this user that were started by the platform of `home`, the supervisor among them."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(home.root) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return [p for p in found if p.pid != os.getpid()]


def kill_all(processes: list[psutil.Process]) -> None:
    """Kills the processes and waits until they are gone."""
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    _, alive = psutil.wait_procs(processes, timeout=10)
    if alive:
        raise PlatformError(f"processes {', '.join(str(p.pid) for p in alive)} cannot be killed")
