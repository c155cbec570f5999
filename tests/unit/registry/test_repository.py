"""Folders enter and leave Triton's repository whole, and what a killed deploy left is cleared up."""

from pathlib import Path

import pytest

from registry.repository import Repository

NAME = "ctr-000001-onnx"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "models")


def model(folder: Path, content: str) -> Path:
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.py").write_text(content)
    return folder


def content(repository: Repository) -> str:
    return (repository.folder / NAME / "1" / "model.py").read_text()


def test_what_is_put_in_is_there_and_can_be_removed(repository: Repository, tmp_path: Path) -> None:
    with repository.staging() as staging:
        new = model(staging / "new", "a")
        assert not repository.holds(new, NAME)
        repository.put(new, NAME)
        assert repository.holds(model(staging / "again", "a"), NAME)
        assert not repository.holds(model(staging / "other", "b"), NAME)
    assert repository.names() == {NAME}
    repository.remove(NAME)
    repository.remove(NAME)
    assert repository.names() == set()
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_what_was_replaced_comes_back(repository: Repository) -> None:
    with repository.staging() as staging:
        repository.put(model(staging / "a", "a"), NAME)
        repository.put(model(staging / "b", "b"), NAME)
        assert content(repository) == "b"
        assert repository.take_back(NAME)
        assert content(repository) == "a"
        assert not repository.take_back(NAME)
    assert repository.names() == set()


def test_a_kill_between_the_two_renames_is_healed(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    with repository.staging() as staging:
        repository.put(model(staging / "a", "a"), NAME)
    killed = repository.staging()
    staging = killed.__enter__()
    with pytest.raises(FileNotFoundError):
        repository.put(staging / "never downloaded", NAME)  # breaks off where a kill would
    assert repository.names() == set()
    model(staging / "half", "b")
    with repository.staging() as later:
        assert content(repository) == "a"
        assert not staging.exists()
        assert list(later.iterdir()) == []
