"""Triton: the server binary inside the nvidia-pytriton wheel, with its Python backend, on the CPU."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from infra.local.platform.home import Home, environment
from infra.local.platform.part import Part
from infra.local.platform.ports import Ports
from infra.local.platform.web import ask
from infra.local.setup.triton_runtime import assemble


def _python_library(python: Path) -> str:
    """Folders of libpython of the environment: without them the stub loads the distribution's."""
    code = "import sys, sysconfig; print(sysconfig.get_config_var('LIBDIR'), sys.base_prefix + '/lib', sep=':')"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def triton(home: Home, ports: Ports) -> Part:
    """Models are loaded by name; after a restart Triton loads all that the repository holds, good or bad."""
    http, runtime, repository = ports.get("triton"), home.run / "triton", home.state / "triton"
    python = environment("triton") / "bin" / "python"

    def prepare() -> None:
        repository.mkdir(parents=True, exist_ok=True)
        assemble(environment("triton"), runtime)

    def check() -> None:
        ask(f"http://127.0.0.1:{http}/v2/health/ready")

    local = ("--http-address", "--grpc-address", "--metrics-address")
    return Part(
        name="triton",
        command=[
            *(str(runtime / "bin" / "tritonserver"), f"--model-repository={repository}"),
            *("--model-control-mode=explicit", "--load-model=*", "--exit-on-error=false", "--strict-readiness=false"),
            *(f"--http-port={http}", f"--grpc-port={ports.get('triton', 'grpc')}"),
            *(f"--metrics-port={ports.get('triton', 'metrics')}", *(f"{option}=127.0.0.1" for option in local)),
            *("--allow-gpu-metrics=false", "--pinned-memory-pool-byte-size=0", "--disable-auto-complete-config"),
            *(f"--backend-directory={runtime / 'backends'}", "--exit-timeout-secs=10"),
        ],
        environment={
            "LD_LIBRARY_PATH": f"{runtime / 'lib'}:{_python_library(python)}",
            "PATH": f"{python.parent}:{os.environ.get('PATH', os.defpath)}",
            "OMP_NUM_THREADS": "1",
        },
        check=check,
        prepare=prepare,
        address=f"127.0.0.1:{http}",
        settings={"triton_http": f"127.0.0.1:{http}", "triton_repository": repository},
    )
