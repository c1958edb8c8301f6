"""`tocsin doctor` where personal data are encrypted: keys that are not there, right or safe."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.agents.privacy.vault_server import TOKEN, transit_server
from tocsin.agents.doctor.findings import Finding, Health
from tocsin.agents.doctor.keys import look_at_keys
from tocsin.agents.privacy.keys import Keyring
from tocsin.agents.privacy.master_key import MasterFile
from tocsin.agents.privacy.vault import open_vault
from tocsin.agents.settings.settings import load


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A deployment's keys, with a master key in a file."""
    Keyring.create(tmp_path / "keys", MasterFile.create(tmp_path / "master.key"))
    return tmp_path


def look(folder: Path, **more: object) -> list[Finding]:
    given = {
        "privacy": True,
        "keys_dir": str(folder / "keys"),
        "master_key_file": str(folder / "master.key"),
    }
    return look_at_keys(load({**given, **more}, discover=False))


def test_sound_keys_are_fine(folder: Path) -> None:
    (found,) = look(folder)

    assert (found.health, found.what) == (
        Health.FINE,
        f"the master key opens those in {folder / 'keys'}",
    )


def test_who_needs_no_keys_lacks_none(tmp_path: Path) -> None:
    for more in ({"privacy": False}, {"master_key_file": ""}):
        (found,) = look(tmp_path, **more)
        assert found.health is Health.FINE


def another_master(folder: Path) -> None:
    (folder / "master.key").unlink()
    MasterFile.create(folder / "master.key")


def no_folder(folder: Path) -> None:
    for path in (folder / "keys").iterdir():
        path.unlink()
    (folder / "keys").rmdir()
    (folder / "keys").touch()


@pytest.mark.parametrize(
    ("fault", "what", "mend"),
    [
        (lambda at: (at / "master.key").unlink(), "cannot be read", "keys init"),
        (lambda at: (at / "master.key").chmod(0o644), "others may read", "chmod 600"),
        (another_master, "wrapped by another master key", "right master_key_file"),
        (lambda at: (at / "keys" / "tokens.json").unlink(), "there are no keys", "keys init"),
        (lambda at: (at / "keys" / "tokens.json").write_text("{"), "damaged", "backup"),
        (no_folder, "cannot be read: Not a directory", "give this user the right"),
        (lambda at: (at / "keys").chmod(0o755), "every user of this machine", "chmod o-rwx"),
    ],
    ids=["no master", "open master", "another master", "no keys", "damaged", "file", "open keys"],
)
def test_a_fault_is_named_with_its_remedy(
    fault: Callable[[Path], object], what: str, mend: str, folder: Path
) -> None:
    fault(folder)

    found = look(folder)[-1]

    assert (found.about, found.health) == ("keys", Health.WRONG)
    assert what in found.what
    assert mend in found.mend


def test_a_folder_that_cannot_be_written_is_a_caution(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)

    (found,) = look(folder)

    assert found.health is Health.CAUTION
    assert "make and destroy none" in found.what


def test_a_key_service_that_is_away_is_told_and_its_open_token_too(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o604)
    with transit_server() as server:
        given = {"master_key_file": "", "kms_url": server.url, "kms_token_file": str(token)}
        vault = open_vault(load(given, discover=False))
        vault.create()
        Keyring.create(tmp_path / "keys", vault)
        sound, open_token = look(tmp_path, **given)
        server.down = True
        (away,) = look(tmp_path, **given)

    assert (sound.health, open_token.health) == (Health.FINE, Health.WRONG)
    assert open_token.mend == f"chmod o-rwx {token}"
    assert "answered with HTTP status 503" in away.what
