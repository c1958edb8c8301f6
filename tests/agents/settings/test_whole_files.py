"""Files that are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tocsin.agents.settings.errors import UnavailableError
from tocsin.agents.settings.whole_files import write_atomically, writing_whole


def test_a_file_takes_its_place_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    with writing_whole(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_comes_to_nothing_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), writing_whole(path) as file:
        file.write(b"%d" % (1 // 0))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_told_with_the_name_that_was_given(tmp_path: Path) -> None:
    path = tmp_path / "none" / "report.html"
    with pytest.raises(UnavailableError, match=f"{path} cannot be written"), writing_whole(path):
        pass


def test_an_error_over_another_file_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), writing_whole(tmp_path / "report.html"):
        (tmp_path / "none").read_bytes()
    assert not list(tmp_path.iterdir())


def test_a_secret_is_never_readable_by_others(tmp_path: Path) -> None:
    path = tmp_path / "made" / "password"
    write_atomically(path, "secret", mode=0o600)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("secret", 0o600)
