"""Which folders are searched for the files of a project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchmagic.core.project import folders, nearest
from orchmagic.errors import SettingsError


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """home/project/notebooks, below a folder of the same user."""
    inner = tmp_path / "outer" / "project" / "notebooks"
    inner.mkdir(parents=True)
    return inner


@pytest.mark.parametrize(
    ("marker", "ends_at"),
    [
        ("outer/project/.git/", "project"),
        ("outer/project/pyproject.toml", "project"),
        ("outer/project/notebooks/pyproject.toml", "notebooks"),
        ("outer/.git", "outer"),  # a worktree has a file called .git
        ("outer/project/setup.cfg", None),
    ],
)
def test_the_walk_ends_at_the_project(tmp_path, place, marker, ends_at):
    path = tmp_path / marker
    path.mkdir() if marker.endswith("/") else path.touch()
    walked = list(folders(place))
    assert (walked[-1].name == ends_at) if ends_at else (tmp_path in walked)


@pytest.mark.parametrize("home", ["outer", "outer/project", "outer/project/notebooks"])
def test_it_never_goes_above_home(tmp_path, place, monkeypatch, home):
    monkeypatch.setenv("HOME", str(tmp_path / home))
    assert list(folders(place))[-1] == (tmp_path / home).resolve()


@pytest.mark.skipif(os.name != "posix", reason="rights of POSIX")
@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o703])
def test_it_never_goes_into_a_parent_that_everybody_can_write_to(tmp_path, place, mode):
    (tmp_path / "outer" / ".env").write_text("A=1", "utf-8")
    (tmp_path / "outer").chmod(mode)
    assert [f.name for f in folders(place)] == ["notebooks", "project"]
    assert nearest(".env", place) is None


def test_a_link_is_searched_where_it_leads(tmp_path, place):
    (tmp_path / "outer" / "project" / "pyproject.toml").touch()
    link = tmp_path / "link"
    link.symlink_to(place, target_is_directory=True)
    assert [f.name for f in folders(link)] == ["notebooks", "project"]


def test_the_root_of_a_files_project_is_known(tmp_path, place):
    (tmp_path / "outer" / ".git").mkdir()
    (place / ".env").write_text("A=1", "utf-8")
    found = nearest(".env", place)
    assert found is not None
    assert (found.path, found.root) == (place / ".env", tmp_path / "outer")


def test_a_huge_or_unreadable_file_is_one_clear_line(place):
    (place / ".env").write_bytes(b"A" * 1_100_000)
    with pytest.raises(SettingsError, match="larger than 1 MB"):
        nearest(".env", place)
    (place / ".env").write_bytes(b"K=\xff\xfe secret")
    found = nearest(".env", place)
    assert found is not None
    with pytest.raises(SettingsError, match=r"cannot be read: UnicodeDecodeError$"):
        _ = found.text
