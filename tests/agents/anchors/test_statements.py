"""What an anchor's file proves by itself: who signed it, and which came before it."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tocsin.agents.anchors.extents import Comparison
from tocsin.agents.anchors.signing import Key, believed, create_key, fingerprint, read_key
from tocsin.agents.anchors.statement import (
    Anchor,
    AnchorError,
    Link,
    encode,
    last_file,
    read_anchor,
    row_of,
)
from tocsin.agents.clickhouse.history import HistoryRecord
from tocsin.agents.commands.cli import run_command
from tocsin.agents.settings.errors import ConfigurationError, InputError
from tocsin.agents.settings.exits import Exit
from tocsin.agents.settings.settings import Settings

COUNT = 4


@pytest.fixture
def key(tmp_path: Path) -> Key:
    return create_key(tmp_path / "anchor.key")


@pytest.fixture
def files(tmp_path: Path, key: Key) -> list[Path]:
    """A row of anchors."""
    made: list[Path] = []
    for number in range(1, COUNT + 1):
        link = None
        if made:
            before = read_anchor(made[-1], {key.fingerprint})
            link = Link(made[-1].name, before.sha256)
        anchor = Anchor(1, "tocsin", number, "2026-01-01T00:00:00.000Z", "tocsin", link, (), ())
        path = tmp_path / anchor.file
        path.write_bytes(encode(anchor, key))
        made.append(path)
    return made


def test_a_row_of_anchors_is_read_from_its_last(files: list[Path], key: Key) -> None:
    keys = {key.fingerprint}
    row = row_of(read_anchor(files[-1], keys), keys)

    assert (list(row.files), row.problems) == (files, ())
    assert last_file(files[0].parent, "tocsin") == files[-1]
    assert last_file(files[0].parent, "other") is None


def test_any_byte_that_was_changed_is_found(files: list[Path], key: Key) -> None:
    content = files[0].read_bytes()
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        files[0].write_bytes(bytes(changed))

        with pytest.raises(AnchorError):
            read_anchor(files[0], {key.fingerprint})


@pytest.mark.parametrize("content", [b"", b"{}\n{}\n", b"\n\n\n", b"{}", b"\xff\n\xff\n"])
def test_what_is_no_anchor_is_refused(content: bytes, tmp_path: Path, key: Key) -> None:
    path = tmp_path / "tocsin-000001.anchor"
    path.write_bytes(content)

    with pytest.raises(AnchorError, match="is no anchor"):
        read_anchor(path, {key.fingerprint})


def test_an_anchor_does_not_vouch_for_its_own_key(
    files: list[Path], key: Key, tmp_path: Path
) -> None:
    forger = create_key(tmp_path / "other.key")
    forged = msgspec.structs.replace(read_anchor(files[-1], {key.fingerprint}).anchor, heads=())
    files[-1].write_bytes(encode(forged, forger))

    with pytest.raises(AnchorError, match=r"is signed by SHA256:.*, which does not count here"):
        read_anchor(files[-1], {key.fingerprint})


def test_an_anchor_that_is_missing_or_replaced_ends_the_row(files: list[Path], key: Key) -> None:
    keys = {key.fingerprint}
    last = read_anchor(files[-1], keys)
    first, second = (read_anchor(path, keys).anchor for path in files[:2])

    # Signed by the right key, in another's place.
    files[1].write_bytes(encode(msgspec.structs.replace(second, made_at="2026"), key))
    row = row_of(last, keys)
    assert list(row.files) == files[2:]
    assert "is not the file that tocsin-000003.anchor goes on from" in row.problems[0]

    files[1].write_bytes(b"damaged")
    assert "is no anchor" in row_of(last, keys).problems[0]

    files[1].unlink()
    assert "is missing: tocsin-000003.anchor goes on from it" in row_of(last, keys).problems[0]
    assert first.number == 1


def test_a_key_is_for_its_owner_alone(key: Key, tmp_path: Path) -> None:
    path = tmp_path / "anchor.key"
    settings = Settings(data_dir=str(tmp_path))

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_key(settings).fingerprint == key.fingerprint == fingerprint(key.public)
    with pytest.raises(ConfigurationError, match="there is a file"):
        create_key(path)
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        read_key(settings)
    path.chmod(0o600)
    path.write_text("-----BEGIN PRIVATE KEY-----\n")
    with pytest.raises(InputError, match="holds no private key of Ed25519"):
        read_key(settings)


def test_whose_signature_counts_is_set_or_is_the_own_key(key: Key, tmp_path: Path) -> None:
    own = Settings(data_dir=str(tmp_path))
    auditor = Settings(data_dir=str(tmp_path / "none"), anchor_keys="SHA256:a, SHA256:b")

    assert believed(own) == {key.fingerprint}
    assert believed(auditor) == {"SHA256:a", "SHA256:b"}
    with pytest.raises(InputError, match="set anchor_keys to the fingerprint"):
        believed(Settings(data_dir=str(tmp_path / "none")))


def test_commands_make_a_key_once_and_refuse_what_is_no_anchor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ("--data-dir", str(tmp_path))

    def told(*arguments: str, code: int) -> str:
        assert run_command([*arguments, *data, "--json"]) == code
        captured = capsys.readouterr()
        return captured.out or captured.err

    made = json.loads(told("anchor", "key", code=Exit.OK))
    again = json.loads(told("anchor", "key", code=Exit.OK))
    assert (made["is_new"], again["is_new"]) == (True, False)
    assert made["fingerprint"] == again["fingerprint"]

    wrong = tmp_path / "tocsin-000001.anchor"
    wrong.write_text("{}")
    assert "is no anchor" in told("verify", "--anchor", str(wrong), code=Exit.USAGE)
    assert "--only goes with --anchor" in told("verify", "--only", "topics", code=Exit.USAGE)
    assert "no folder" in told("anchor", "export", "--to", str(wrong), code=Exit.USAGE)


OLD = (
    b'{"format":1,"app_id":"tocsin","number":1,"made_at":"2026-01-01T00:00:00.000Z",'
    b'"made_by":"tocsin 1","previous":null,'
    b'"heads":[{"partition":1,"sequence":3,"offset":9,"hash":"ab"}],'
    b'"extents":[{"topic":"payments","partition":1,"first":4,"next":7,"count":1,'
    b'"oldest":1000000000000,"newest":1000000000000,'
    b'"digest":"c65c042cbb173e35c05a87c8c7f650d4e3db2d7bdfb369b93462d744438ef507",'
    b'"marks":"eJxjYICAYzEsOrvF7UyhXAYAIloCmA=="}]}\n'
    b'{"key":"O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik=","signature":"'
    b"vKFa/fe0FXkVzTt96QrdKJsZZ/Bvmz7IttI1bl2DgFChnCp4DTDbdz8vhOwDP407oGhdJVl3Sw7qsdkL2K/bAQ=="
    b'"}\n'
)


def test_an_anchor_of_format_1_counts_as_long_as_it_is_kept(tmp_path: Path) -> None:
    key = Key(Ed25519PrivateKey.from_private_bytes(bytes(32)))
    path = tmp_path / "tocsin-000001.anchor"
    path.write_bytes(OLD)

    anchor = read_anchor(path, {"SHA256:E545QOZLVJFyIIjZoNdBYo/IJuCUddNBp4Cs3jxLgHA"}).anchor

    assert encode(anchor, key) == OLD
    (extent,) = anchor.extents
    comparison = Comparison(extent)
    comparison.add([HistoryRecord("payments", 1, 5, 10**12, b"C1", b"v", (("h", None),))])
    assert comparison.found() == []
