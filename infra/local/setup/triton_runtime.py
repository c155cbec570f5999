"""Lays the files of the nvidia-pytriton wheel out as a Triton installation, by links.

`python infra/local/setup/triton_runtime.py ENVIRONMENT FOLDER` does it in an image; standard library only.
"""

from __future__ import annotations

import sys
from pathlib import Path


def assemble(environment: Path, runtime: Path) -> None:
    """Makes `runtime` of the Python environment `triton`; safe to run again, and while Triton runs."""
    packages = next((environment / "lib").glob("python3*")) / "site-packages"
    wheel = packages / "pytriton" / "tritonserver"
    stub = wheel / "python_backend_stubs" / packages.parent.name.removeprefix("python")
    backend = runtime / "backends" / "python"
    _link(runtime / "bin" / "tritonserver", wheel / "bin" / "tritonserver")
    _link(runtime / "lib", packages / "nvidia_pytriton.libs")
    _link(backend / "libtriton_python.so", wheel / "backends" / "python" / "libtriton_python.so")
    utils = "triton_python_backend_utils.py"
    _link(backend / utils, wheel / "backends" / "python" / utils)
    _link(backend / "triton_python_backend_stub", stub / "triton_python_backend_stub")


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_symlink() and link.readlink() == target:
        return
    link.unlink(missing_ok=True)
    link.symlink_to(target)


if __name__ == "__main__":
    assemble(*(Path(argument).absolute() for argument in sys.argv[1:3]))
