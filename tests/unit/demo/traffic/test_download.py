from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from demo.errors import DownloadFailed, WrongHash
from demo.traffic.download import ARCHIVES, FILES, INSIDE, fetch


@pytest.mark.slow
def test_a_changed_file_is_named(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "open_bandit")
    name = "random/men/men.csv"
    with (tmp_path / "open_bandit" / name).open("a") as file:
        file.write("\n")
    with pytest.raises(WrongHash, match=name):
        fetch(tmp_path)


def test_a_changed_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / next(iter(ARCHIVES))).write_bytes(b"not it")
    with pytest.raises(WrongHash, match=next(iter(ARCHIVES))):
        fetch(tmp_path)


@pytest.mark.slow
def test_a_wheel_serves_as_well(folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "obp-0.5.7-py3-none-any.whl", "w") as wheel:
        for name in FILES:
            wheel.write(folder / name, INSIDE + name)
    unpacked = fetch(tmp_path)
    assert {str(p.relative_to(unpacked)) for p in unpacked.rglob("*.csv")} == set(FILES)


@pytest.mark.slow
def test_a_missing_member_is_named(folder: Path, tmp_path: Path) -> None:
    missing = next(iter(FILES))
    with zipfile.ZipFile(tmp_path / "obp-0.5.7-py3-none-any.whl", "w") as wheel:
        for name in list(FILES)[1:]:
            wheel.write(folder / name, INSIDE + name)
    with pytest.raises(DownloadFailed, match=missing):
        fetch(tmp_path)
