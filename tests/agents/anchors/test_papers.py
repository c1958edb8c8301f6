"""Papers signed by the deployment's key: what a signature beside a file proves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tocsin.agents.anchors.papers import beside, check_paper, sign_paper
from tocsin.agents.anchors.signing import create_key, is_signed
from tocsin.agents.settings.settings import Settings, load

CONTENT = b"what was written"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load({"data_dir": str(tmp_path)}, discover=False)


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    return tmp_path / "letter.txt"


def test_what_is_signed_is_told_by_the_keys_fingerprint(settings: Settings, paper: Path) -> None:
    key = create_key(settings.anchor_key_path)

    assert sign_paper(settings, paper, CONTENT) == key.fingerprint
    found = check_paper(settings, paper, CONTENT)

    assert (found.fingerprint, found.problem, found.unproven) == (key.fingerprint, "", "")
    assert not is_signed(key.public, key.sign(CONTENT), CONTENT + b"!")


def test_a_change_of_one_byte_is_found(settings: Settings, paper: Path) -> None:
    create_key(settings.anchor_key_path)
    sign_paper(settings, paper, CONTENT)

    assert "is not over this file" in check_paper(settings, paper, CONTENT + b".").problem
    beside(paper).write_text("{}")
    assert "is no signature" in check_paper(settings, paper, CONTENT).problem


def test_a_key_that_is_not_believed_signs_nothing(
    settings: Settings, paper: Path, tmp_path: Path
) -> None:
    create_key(settings.anchor_key_path)
    sign_paper(settings, paper, CONTENT)
    auditor = load({"data_dir": str(tmp_path), "anchor_keys": "SHA256:other"}, discover=False)
    stranger = load({"data_dir": str(tmp_path / "elsewhere")}, discover=False)

    assert "is not one of anchor_keys" in check_paper(auditor, paper, CONTENT).problem
    assert "set anchor_keys" in check_paper(stranger, paper, CONTENT).unproven


def test_without_a_key_or_a_signature_nothing_is_wrong_but_unproven(
    settings: Settings, paper: Path
) -> None:
    assert sign_paper(settings, paper, CONTENT) is None
    assert "no signature" in check_paper(settings, paper, CONTENT).unproven


def test_a_signature_over_an_anchor_is_none_over_a_paper(settings: Settings) -> None:
    key = create_key(settings.anchor_key_path)

    assert is_signed(key.public, key.sign(CONTENT), CONTENT)
    assert not is_signed(key.public, key.sign(CONTENT), CONTENT, b"tocsin paper\n")
