"""A Dockerfile as stages of instructions: as much of its syntax as infra/images/ uses. hadolint checks the rest."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from adfeast.settings import ROOT

FOLDER = ROOT / "infra" / "images"
# Image to its Dockerfile and the target in it; the last stage where there is none.
IMAGES = {
    "server": ("server.Dockerfile", ""),
    "jobs": ("jobs.Dockerfile", ""),
    "triton": ("triton.Dockerfile", "cpu"),
    "triton-gpu": ("triton.Dockerfile", "gpu"),
    "mlflow": ("mlflow.Dockerfile", ""),
}
INSTALL = "infra/images/install"


@dataclass(frozen=True)
class Instruction:
    """A word, its flags (`--from=build` is from: build) and what follows, on one line."""

    word: str
    flags: dict[str, str]
    text: str

    @property
    def sources(self) -> list[str]:
        """What a COPY copies."""
        return shlex.split(self.text)[:-1]

    @property
    def target(self) -> str:
        """Where a COPY copies it."""
        return shlex.split(self.text)[-1]


@dataclass(frozen=True)
class Stage:
    """What stands between two FROM."""

    name: str
    base: str
    instructions: tuple[Instruction, ...]

    def of(self, word: str) -> list[Instruction]:
        """Its instructions of a kind."""
        return [i for i in self.instructions if i.word == word]


def read(text: str) -> list[Stage]:
    """The stages, in their order."""
    stages: list[Stage] = []
    for i in _instructions(text):
        if i.word != "FROM":
            last = stages.pop()
            stages.append(Stage(last.name, last.base, (*last.instructions, i)))
            continue
        base, *name = re.split(r"\s+AS\s+", i.text, flags=re.IGNORECASE)
        stages.append(Stage(name[0] if name else "", base, ()))
    return stages


def image(name: str, folder: Path = FOLDER) -> list[Stage]:
    """The stages that an image is made of, itself last: what it is based on, and what it copies from."""
    file, target = IMAGES[name]
    stages = read((folder / file).read_text())
    named = {s.name: s for s in stages if s.name}
    return list(_needed(named[target] if target else stages[-1], named))


def chain(stage: Stage, stages: Sequence[Stage]) -> list[Stage]:
    """A stage after those it is based on."""
    base = [s for s in stages if s.name and s.name == stage.base]
    return [*chain(base[0], stages), stage] if base else [stage]


def installed(stages: Sequence[Stage]) -> Iterator[tuple[str, list[str]]]:
    """Environments of the lock that stages install, and the packages that are left out of each."""
    for stage in stages:
        for run in stage.of("RUN"):
            for command in run.text.split("&&"):
                words = shlex.split(command)
                if words[:1] == [INSTALL]:
                    yield words[1], words[2:]


def _needed(stage: Stage, named: dict[str, Stage]) -> Iterator[Stage]:
    wanted = [stage.base, *(c.flags["from"] for c in stage.of("COPY") if "from" in c.flags)]
    for name in dict.fromkeys(wanted):
        if name in named:
            yield from _needed(named[name], named)
    yield stage


def _instructions(text: str) -> Iterator[Instruction]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        word, rest = line.split(maxsplit=1)
        flags = {}
        while found := re.match(r"--([\w-]+)=(\S+)\s+", rest):
            flags[found[1]] = found[2]
            rest = rest[found.end() :]
        yield Instruction(word.upper(), flags, rest.strip())
