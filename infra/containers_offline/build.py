"""Runs an image's own build steps in a clean folder, without a container engine, and what must work in it afterwards.

`python -m infra.containers_offline.build FOLDER [IMAGE...]`. `/app` becomes a folder: COPY and RUN of the build stages
are carried out there, then all goes away but what the last stage takes, and the checks below are run with what is left.
The base images are not there: the machine's own Python 3.11 and JDK stand in for theirs, and steps of the last stage
that need root (`useradd`) are left out.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from adfeast.settings import ROOT
from infra.containers_offline.dockerfile import IMAGES, Instruction, Stage, chain, image

HOME = "/app"
PATIENCE_S = 120  # for a program to answer
SERVING = (
    "import importlib, pkgutil, serving\n"
    "for m in pkgutil.walk_packages(serving.__path__, 'serving.'): importlib.import_module(m.name)\n"
)
# Image to what must end with code 0 in it.
CHECKS: dict[str, list[list[str]]] = {
    "server": [["adfeast", "serve", "--help"], ["python", "-c", SERVING]],
    "jobs": [
        *(
            [*["adfeast"], *words, "--help"]
            for words in ([], ["batch"], ["model"], ["stream", "write"], ["plan"], ["gc"])
        ),
        [
            "python",
            "-c",
            "import training.data.spark, training.data.materialize, training.model.train, registry.deploy",
        ],
        [".local/env/flink/bin/python", "-c", "import pyflink.table, streaming.jobs.start"],
        ["sh", "-c", "ls .local/jars/flink/*.jar .local/jars/spark-s3/*.jar .local/jars/function/adfeast-function.jar"],
    ],
    "triton": [["python", "-c", "import numpy, onnxruntime"]],
    "triton-gpu": [["python", "-c", "import numpy, onnxruntime, torch, fbgemm_gpu"]],
    "mlflow": [["mlflow", "--version"]],
}
# A model whose process must find the image's own Python and packages.
MODEL = {
    "config.pbtxt": (
        'backend: "python"\nmax_batch_size: 8\ninput [ { name: "x" data_type: TYPE_FP32 dims: [ 1 ] } ]\n'
        'output [ { name: "y" data_type: TYPE_FP32 dims: [ 1 ] } ]\ninstance_group [ { kind: KIND_CPU } ]\n'
    ),
    "1/model.py": "import numpy, onnxruntime\n\n\nclass TritonPythonModel:\n    pass\n",
}
TRITON = (
    "triton/bin/tritonserver --model-repository={scratch}/models --model-control-mode=explicit --load-model=probe "
    "--exit-on-error=false --http-port={port} --allow-grpc=false --allow-metrics=false --disable-auto-complete-config "
    "--backend-directory=triton/backends"
)
# Image to a program, and the path at which it must come to answer.
ANSWERS = {
    "triton": (TRITON, "/v2/models/probe/ready"),
    "triton-gpu": (TRITON, "/v2/models/probe/ready"),
    "mlflow": (
        "mlflow server --host 127.0.0.1 --port {port} --backend-store-uri sqlite:///{scratch}/m.db --workers 1",
        "/health",
    ),
}


def build(name: str, folder: Path) -> None:
    """Makes the image's `/app` in `folder`, which must not exist.

    Raises:
        CalledProcessError: a step fails.
    """
    *stages, last = image(name)
    folder.mkdir(parents=True)
    for stage in stages:
        _steps(stage, folder, run=stage not in chain(last, stages))
    taken = [c for s in chain(last, stages) for c in s.of("COPY") if "from" in c.flags]
    sources = (Path(source) for c in taken for source in c.sources)
    _keep(folder, {s.relative_to(HOME) for s in sources if s.is_relative_to(HOME)})
    for stage in chain(last, stages):
        _steps(stage, folder, run=False)


def _steps(stage: Stage, folder: Path, *, run: bool) -> None:
    at = folder
    for i in stage.instructions:
        if i.word == "WORKDIR":
            at = folder / Path(i.text).relative_to(HOME)
            at.mkdir(parents=True, exist_ok=True)
        elif i.word == "COPY" and "from" not in i.flags:
            _copy(i, at)
        elif i.word == "RUN" and run:
            subprocess.run(["sh", "-euc", i.text], cwd=at, env=_builder(folder), check=True)


def _copy(copy: Instruction, at: Path) -> None:
    for source in copy.sources:
        found, target = ROOT / source, at / copy.target
        if found.is_dir():
            shutil.copytree(found, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            into = target / found.name if copy.target.endswith("/") else target
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(found, into)


def _keep(folder: Path, kept: set[Path]) -> None:
    """Deletes all but some of what lies in a folder."""
    missing = [str(k) for k in kept if not (folder / k).exists()]
    if missing:
        raise FileNotFoundError(f"no step has made {', '.join(missing)}, which the last stage copies")
    for path in sorted(folder.rglob("*"), reverse=True):
        mine = path.relative_to(folder)
        if any(k == mine or k in mine.parents or mine in k.parents for k in kept):
            continue
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _builder(folder: Path) -> dict[str, str]:
    """What the base images bring: a bare `python`, and Maven, which keeps what it downloads where make's does."""
    programs = folder.with_name("bin")
    shutil.rmtree(programs, ignore_errors=True)
    programs.mkdir()
    for name in ("python", "python3.11"):
        (programs / name).symlink_to(Path(sys.executable).resolve())
    if shutil.which("mvn") is None:
        (programs / "mvn").write_text(f'#!/bin/sh\nexec {ROOT}/infra/local/setup/mvnw "$@"\n')
        (programs / "mvn").chmod(0o755)
    path = f"{programs}:{os.environ.get('PATH', os.defpath)}"
    return _clean() | {"PATH": path, "MAVEN_ARGS": f"-Dmaven.repo.local={ROOT}/.local/m2"}


def _clean() -> dict[str, str]:
    """The environment without what this repository's own make has set for its programs."""
    mine = ("PYTHON", "ADFEAST", "VIRTUAL_ENV", "MAVEN", "JAVA_TOOL")
    return {k: v for k, v in os.environ.items() if not k.startswith(mine)}


def check(name: str, folder: Path) -> None:
    """Runs the image's checks with what it holds.

    Raises:
        CalledProcessError, TimeoutError: one of them fails.
    """
    scratch = folder.with_name(f"{name}-scratch")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    environments = [
        str(p / "bin") for p in sorted((folder / ".local" / "env").iterdir(), key=lambda p: p.name == "flink")
    ]
    path = [str(folder / "infra" / "images" / "bin"), *environments, "/usr/bin", "/bin"]
    here = _clean() | {"PATH": ":".join(map(str, path)), "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    here |= dict.fromkeys(("HOME", "TMPDIR", "ADFEAST_LOCAL"), str(scratch))
    if (folder / "triton").exists():
        here["LD_LIBRARY_PATH"] = f"{folder}/triton/lib:{sys.base_prefix}/lib"
        for file, text in MODEL.items():
            model = scratch / "models" / "probe" / file
            model.parent.mkdir(parents=True, exist_ok=True)
            model.write_text(text)
    for command in CHECKS[name]:
        subprocess.run(command, cwd=folder, env=here, check=True, stdout=subprocess.DEVNULL)
    if name in ANSWERS:
        _answers(*ANSWERS[name], folder, scratch, here)


def _answers(
    command: str, path: str, folder: Path, scratch: Path, env: Mapping[str, str], patience_s: float = 120
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
    words = command.format(port=port, scratch=scratch).split()
    with (scratch / "log").open("w") as log:
        process = subprocess.Popen(words, cwd=folder, env=env, stdout=log, stderr=log)
    until = time.monotonic() + PATIENCE_S
    try:
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2):
                    return
            except OSError as error:
                if process.poll() is not None or time.monotonic() > until:
                    raise TimeoutError(f"{command}: {error}\n{(scratch / 'log').read_text()[-2000:]}") from error
                time.sleep(0.5)
    finally:
        process.terminate()
        process.wait(30)


def main() -> None:
    """Builds and checks the named images, or all."""
    folder, names = Path(sys.argv[1]).absolute(), sys.argv[2:] or list(IMAGES)
    for name in names:
        started = time.monotonic()
        shutil.rmtree(folder / name, ignore_errors=True)
        build(name, folder / name)
        check(name, folder / name)
        shutil.rmtree(folder / name)
        sys.stdout.write(f"{name}: built and checked in {time.monotonic() - started:.0f} s\n")


if __name__ == "__main__":
    main()
