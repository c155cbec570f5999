"""The Dockerfiles: hadolint's rules hold, what they copy is there, and nothing in them may change by itself."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import pytest

from adfeast.settings import ROOT
from infra.containers_offline.dockerfile import FOLDER, IMAGES, Stage, chain, image, installed, read
from infra.containers_offline.sbom import exported, sbom
from infra.local.parts import triton as local_triton
from infra.local.platform.home import Home
from infra.local.platform.ports import Ports
from tests.infra.manifests import BIN

DOCKERFILES = sorted(FOLDER.glob("*.Dockerfile"))
# DL3059 asks to join RUNs that are kept apart because each is a layer of its own to cache.
IGNORED = ("DL3059",)
PYTHON = "python:3.11.16-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b"
CUDA = ("nvidia-c", "nvidia-n", "cuda-", "torch")


def hadolint(file: Path) -> list[str]:
    command = [str(BIN / "hadolint"), "--format", "json", *(f"--ignore={rule}" for rule in IGNORED), str(file)]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return [f"{p['code']} line {p['line']}: {p['message']}" for p in json.loads(said)]


def problems(text: str) -> Iterator[str]:
    """What hadolint does not ask."""
    stages = read(text)
    names = {s.name for s in stages if s.name}
    for s in stages:
        if s.base not in names and not re.fullmatch(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}", s.base):
            yield f"{s.base} is not pinned by a tag and a digest"
        if s.base.split("@")[0].endswith(":latest"):
            yield f"{s.base} moves"
        for copy in s.of("COPY"):
            if "from" in copy.flags and copy.flags["from"] not in names:
                yield f"COPY --from={copy.flags['from']}: no such stage"
            if "from" not in copy.flags:
                yield from (f"COPY {source}: {why}" for source in copy.sources if (why := _kept_out(source)))
        for run in s.of("RUN"):
            if "pip install" in run.text or "apt-get install" in run.text or "uv pip" in run.text:
                yield f"RUN {run.text[:60]}: installs something beside the lock"
        for env in [*s.of("ENV"), *s.of("ARG")]:
            if re.search(r"(PASSWORD|SECRET|TOKEN|ACCESS_KEY)", env.text):
                yield f"{env.word} {env.text[:40]}: a secret in an image"
    yield from _last(stages)


def _last(stages: list[Stage]) -> Iterator[str]:
    """Of those that are images: no other stage is made of them."""
    copies = [c for s in stages for c in s.of("COPY")]
    used = {s.base for s in stages} | {c.flags["from"] for c in copies if "from" in c.flags}
    for s in (s for s in stages if s.name not in used):
        lineage = chain(s, stages)
        users = [u.text for t in lineage for u in t.of("USER")]
        if not users or not re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1]):
            yield f"the image runs as {users[-1] if users else 'root'}, not as a number that is not 0"
        if not any(t.of("CMD") or t.of("ENTRYPOINT") for t in lineage):
            yield "the image says not what it runs"


def _kept_out(source: str) -> str:
    """Why a source of the build is not there: it does not exist, or .dockerignore keeps it out."""
    if not (ROOT / source).exists():
        return "is not there"
    kept = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip()
        if pattern and not pattern.startswith("#"):
            bare = pattern.removeprefix("!")
            parts = Path(source).parts
            if any(fnmatch("/".join(parts[:n]), bare) for n in range(1, len(parts) + 1)):
                kept = pattern.startswith("!")
    return "" if kept else "is kept out by .dockerignore"


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda f: f.name)
def test_hadolint_and_the_rules_find_nothing(file: Path) -> None:
    assert hadolint(file) == []
    assert list(problems(file.read_text())) == []


def test_every_dockerfile_makes_an_image_that_is_known() -> None:
    assert {file for file, _ in IMAGES.values()} == {f.name for f in DOCKERFILES}
    for name in IMAGES:
        assert image(name)
    repositories = (ROOT / "infra" / "terraform" / "modules" / "registry" / "variables.tf").read_text()
    assert f"default     = {json.dumps(list(IMAGES))}" in repositories


def test_nothing_private_reaches_a_build() -> None:
    for private in (".git", ".local", ".ci", "infra/terraform", "infra/k8s", "tests", "README.md"):
        assert "kept out" in _kept_out(private) or "not there" in _kept_out(private), private


class Mistake(NamedTuple):
    """In `file`, the last `right` becomes `wrong`; then somebody says `reason`."""

    file: str
    right: str
    wrong: str
    reason: str


MISTAKES = {
    "root": Mistake("server", "USER 10001:10001\n", "", "the image runs as root"),
    "root by name": Mistake("jobs", "USER 10001:10001", "USER root", "DL3002"),
    "root by number": Mistake("triton", "USER 10001:10001", "USER 0:0", "the image runs as 0:0"),
    "latest": Mistake("mlflow", PYTHON, "python:latest", "DL3007"),
    "a tag alone": Mistake("server", PYTHON, PYTHON.split("@")[0], "is not pinned"),
    "an unpinned package": Mistake("jobs", "WORKDIR /app", "RUN pip install pandas\nWORKDIR /app", "DL3013"),
    "a package beside the lock": Mistake(
        "jobs", "WORKDIR /app", "RUN pip install --no-cache-dir pandas==3.0.0\nWORKDIR /app", "beside the lock"
    ),
    "a source that is not there": Mistake("server", "COPY cli cli", "COPY clis cli", "clis: is not there"),
    "a source that is kept out": Mistake("server", "COPY cli cli", "COPY tests tests", "kept out by .dockerignore"),
    "a stage that is not there": Mistake("jobs", "--from=build ", "--from=builder ", "--from=builder: no such stage"),
    "a secret": Mistake("server", "USER 1", "ENV ADFEAST_AWS_SECRET_ACCESS_KEY=x\nUSER 1", "a secret in an image"),
    "a relative folder": Mistake("mlflow", "WORKDIR /app", "WORKDIR app", "DL3000"),
    "everything copied": Mistake("server", "COPY cli cli", "ADD cli cli", "DL3020"),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_noticed(tmp_path: Path, mistake: Mistake) -> None:
    text = (FOLDER / f"{mistake.file}.Dockerfile").read_text()
    before, found, after = text.rpartition(mistake.right)
    assert found, f"{mistake.right!r} does not stand there"
    (tmp_path / "Dockerfile").write_text(before + mistake.wrong + after)
    said = [*hadolint(tmp_path / "Dockerfile"), *problems(before + mistake.wrong + after)]
    assert any(mistake.reason in problem for problem in said), said


def test_the_install_step_takes_nothing_that_the_locks_do_not_hold() -> None:
    script = (FOLDER / "install").read_text()
    installs = re.findall(r"^.*\bpip (?:install|sync)\b.*$", script, re.MULTILINE)
    assert len(installs) == 2
    assert all("--require-hashes" in line for line in installs)
    assert "--frozen" in script
    assert re.fullmatch(r"uv==[\d.]+ .*", (FOLDER / "uv.lock").read_text().splitlines()[0])
    version = re.search(r"UV_VERSION := (\S+)", (ROOT / "Makefile").read_text())
    assert version
    assert f"uv=={version[1]} " in (FOLDER / "uv.lock").read_text()


def test_an_image_that_runs_no_torch_has_neither_torch_nor_cuda() -> None:
    for name in ("server", "mlflow", "triton"):
        for extra, pruned in installed(image(name)):
            lines = exported(extra, pruned, "requirements-txt").splitlines()
            held = {line.split("==")[0] for line in lines if re.match(r"[\w.-]+==", line)}
            assert not [p for p in held if p.startswith(CUDA)], name
            assert len(held) > 20, name


def test_triton_is_started_as_on_one_machine(tmp_path: Path) -> None:
    """All but the addresses and the folders."""
    part = local_triton.triton(Home(tmp_path), Ports(tmp_path / "ports", lambda _: True))
    places = ("--model-repository", "--backend-directory")
    local = {o for o in part.command[1:] if "-port=" not in o and "-address=" not in o and not o.startswith(places)}
    stages = image("triton")
    said = {o for s in stages for i in (*s.of("ENTRYPOINT"), *s.of("CMD")) for o in json.loads(i.text)}
    assert {o for o in said if o.startswith("--") and not o.startswith(places)} == local


VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(sys.stdin.read())
sys.exit(str(error) if error else 0)
"""


@pytest.mark.parametrize("name", IMAGES)
def test_the_bill_of_materials_is_cyclonedx_and_whole(name: str) -> None:
    made = sbom(name)
    # The validator takes some 10 ms for each address, of which there is one a wheel: a few of them must do.
    addressed = made["components"][:5]
    few = [
        c | {"externalReferences": c.get("externalReferences", [])[: 2 * (c in addressed)]} for c in made["components"]
    ]
    said = subprocess.run(
        [str(BIN / "python"), "-c", VALIDATE],
        input=json.dumps(made | {"components": few}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    held = {c["name"] for c in made["components"]}
    wanted = {"server": "grpcio", "jobs": "pyspark", "triton": "nvidia-pytriton", "mlflow": "mlflow"}
    assert wanted.get(name, "torch") in held
    assert ("apache-flink" in held) == (name == "jobs")
    assert any(c.startswith("flink/") for c in held) == (name == "jobs")
    references = [c["bom-ref"] for c in made["components"]]
    assert len(references) == len(set(references))
