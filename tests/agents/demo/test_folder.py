"""Where the demo runs: over the folder that every other command means, never over one's records."""

from __future__ import annotations

from pathlib import Path

import pytest

from tocsin.agents.commands.cli import run_command
from tocsin.agents.demo.demo import folder_of
from tocsin.agents.settings.data_folder import holds_records
from tocsin.agents.settings.errors import InputError
from tocsin.agents.settings.exits import Exit
from tocsin.agents.settings.settings import Settings, load


def told(folder: Path) -> Settings:
    return load(environ={"TOCSIN_DATA_DIR": str(folder)}, discover=False)


def test_the_folder_that_is_given_is_the_folder(tmp_path: Path) -> None:
    settings = told(tmp_path)

    assert folder_of(settings) == settings.data_path == tmp_path


def test_without_one_the_demo_stays_out_of_the_way_of_what_is_real() -> None:
    settings = load(environ={}, discover=False)

    assert folder_of(settings) == settings.data_path / "demo"


@pytest.mark.parametrize("command", ["warnings", "topics check"])
def test_who_does_not_name_the_folder_is_told_of_the_demo_that_runs(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "services.json").touch()

    assert run_command([*command.split(), "--data-dir", str(tmp_path)]) == Exit.USAGE

    assert f"`export TOCSIN_DATA_DIR={tmp_path}/demo`" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["kafka", "clickhouse"])
def test_records_that_no_demo_made_are_never_thrown_away(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kept = tmp_path / name / "0.log"
    kept.parent.mkdir()
    kept.write_text("records")
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path))

    assert run_command(["demo", "--exit"]) == Exit.USAGE

    shown = capsys.readouterr().err
    assert f"{tmp_path} holds records that no demo made" in shown
    assert "TOCSIN_DATA_DIR" in shown
    assert kept.read_text() == "records"


def test_what_a_demo_left_may_be_thrown_away(tmp_path: Path) -> None:
    (tmp_path / "kafka").mkdir()
    with pytest.raises(InputError, match="no demo made"):
        folder_of(told(tmp_path))

    (tmp_path / "fresh").touch()

    assert not holds_records(tmp_path)
    assert folder_of(told(tmp_path)) == tmp_path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--customers", "0"], "customers must lie between 1"),
        (["--days", "-3"], "days must lie between 1"),
        (["--events", "empty.jsonl"], "empty.jsonl: is empty"),
    ],
)
def test_a_wish_that_cannot_be_met_starts_nothing(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.jsonl").touch()

    assert run_command(["demo", *arguments, "--data-dir", str(tmp_path / "data")]) == Exit.USAGE

    assert said in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
