"""Keys: made, wrapped, found again, rotated and destroyed, with a file and with a key service."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agents.privacy.vault_server import TOKEN, Transit, transit_server
from tocsin.agents.commands.cli import run_command
from tocsin.agents.privacy.keys import QUARANTINE, TOKENS, Erasure, Keyring, is_token
from tocsin.agents.privacy.master_key import MasterFile, Wrapper
from tocsin.agents.privacy.vault import open_vault
from tocsin.agents.settings.errors import ConfigurationError, UnavailableError
from tocsin.agents.settings.exits import Exit
from tocsin.agents.settings.secret import Secret
from tocsin.agents.settings.settings import Settings

ERASURE = Erasure("2025-01-31T08:00:00Z", "Ann", "request 17")
PLACE = [b"customers-value", b"name"]


@pytest.fixture
def server() -> Iterator[Transit]:
    with transit_server() as running:
        yield running


@pytest.fixture(params=["file", "service"])
def wrapper(request: pytest.FixtureRequest, tmp_path: Path, server: Transit) -> Wrapper:
    if request.param == "file":
        return MasterFile.create(tmp_path / "secret" / "master.key")
    vault = open_vault(service_settings(server))
    vault.create()
    return vault


def service_settings(server: Transit, token: str = TOKEN) -> Settings:
    return Settings(kms_url=server.url, kms_key="tocsin", kms_token=Secret(token))


def sealed(keys: Keyring, owner: str) -> tuple[int, bytes]:
    found = keys.newest(owner)
    assert found is not None
    version, cipher = found
    return version, cipher.encrypt(b"Nordwind", PLACE)


def opened(keys: Keyring, owner: str, version: int, body: bytes) -> bytes | None:
    cipher = keys.cipher(owner, version)
    return None if cipher is None else cipher.decrypt(body, PLACE)


def test_a_key_is_found_again_by_another_program(wrapper: Wrapper, tmp_path: Path) -> None:
    keys = Keyring.create(tmp_path / "keys", wrapper)
    owner = keys.token("C-1")
    version, body = sealed(keys, owner)

    other = Keyring(tmp_path / "keys", wrapper)

    assert other.token("C-1") == owner
    assert is_token(owner)
    assert opened(other, owner, version, body) == b"Nordwind"
    assert sealed(other, owner) == (version, body)


def test_customers_have_keys_and_tokens_of_their_own(wrapper: Wrapper, tmp_path: Path) -> None:
    keys = Keyring.create(tmp_path / "keys", wrapper)
    one, two = keys.token("C-1"), keys.token("C-2")

    assert one != two
    assert sealed(keys, one) != sealed(keys, two)


def test_no_file_holds_a_key_or_an_id_in_the_clear_or_may_be_read_by_others(
    wrapper: Wrapper, tmp_path: Path
) -> None:
    keys = Keyring.create(tmp_path / "keys", wrapper)
    sealed(keys, keys.token("CANARY-1"))

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 5
    for path in files:
        assert path.stat().st_mode & 0o077 == 0
        assert b"CANARY" not in path.read_bytes()


def test_a_rotated_master_key_opens_all_and_the_old_one_nothing(
    wrapper: Wrapper, tmp_path: Path
) -> None:
    keys = Keyring.create(tmp_path / "keys", wrapper)
    owner, watching = keys.token("C-1"), Keyring(tmp_path / "keys", wrapper)
    version, body = sealed(keys, owner)
    shutil.copytree(tmp_path / "keys", tmp_path / "backup")

    assert keys.rotate() == 4

    for reader in (keys, watching, Keyring(tmp_path / "keys", wrapper)):
        assert opened(reader, owner, version, body) == b"Nordwind"
        assert reader.token("C-1") == owner
    with pytest.raises(ConfigurationError, match=r"another master key|too old"):
        Keyring(tmp_path / "backup", wrapper)


def test_a_new_version_encrypts_and_the_old_one_still_opens(
    wrapper: Wrapper, tmp_path: Path
) -> None:
    keys = Keyring.create(tmp_path / "keys", wrapper)
    owner = keys.token("C-1")
    before = sealed(keys, owner)

    keys.renew(owner)
    after = sealed(keys, owner)

    assert (before[0], after[0]) == (1, 2)
    assert opened(keys, owner, *before) == opened(keys, owner, *after) == b"Nordwind"


def test_an_erased_customer_has_no_key_and_never_gets_one(wrapper: Wrapper, tmp_path: Path) -> None:
    keys = Keyring.create(tmp_path / "keys", wrapper)
    watching = Keyring(tmp_path / "keys", wrapper)
    owner = keys.token("C-1")
    version, body = sealed(keys, owner)
    assert opened(watching, owner, version, body) == b"Nordwind"

    assert keys.erase(owner, ERASURE) == 1

    for reader in (keys, watching, Keyring(tmp_path / "keys", wrapper)):
        assert opened(reader, owner, version, body) is None
        assert reader.newest(owner) is None
        assert reader.renew(owner).is_erased
    entry = keys.entry(owner)
    assert entry is not None
    assert entry.erasures == (ERASURE,)


def test_a_customer_may_be_erased_before_it_has_a_key(wrapper: Wrapper, tmp_path: Path) -> None:
    keys = Keyring.create(tmp_path / "keys", wrapper)

    assert keys.erase(keys.token("C-1"), ERASURE) == 0

    assert keys.newest(keys.token("C-1")) is None


def test_the_key_of_unknown_customers_is_destroyed_and_made_anew(
    wrapper: Wrapper, tmp_path: Path
) -> None:
    keys = Keyring.create(tmp_path / "keys", wrapper)
    version, body = sealed(keys, QUARANTINE)

    keys.erase(QUARANTINE, ERASURE)

    assert sealed(keys, QUARANTINE)[0] == version + 1
    assert opened(keys, QUARANTINE, version, body) is None


def test_an_erasure_cut_short_after_the_key_was_overwritten_is_one(
    wrapper: Wrapper, tmp_path: Path
) -> None:
    keys = Keyring.create(tmp_path / "keys", wrapper)
    owner = keys.token("C-1")
    version, _ = sealed(keys, owner)
    (path,) = (tmp_path / "keys").glob(f"c/*/{owner}.json")
    path.write_bytes(bytes(path.stat().st_size))

    assert keys.cipher(owner, version) is None
    assert keys.newest(owner) is None


def test_the_old_content_of_a_destroyed_key_is_overwritten(tmp_path: Path) -> None:
    keys = Keyring.create(tmp_path / "keys", MasterFile.create(tmp_path / "master.key"))
    owner = keys.token("C-1")
    sealed(keys, owner)
    (path,) = (tmp_path / "keys").glob(f"c/*/{owner}.json")
    os.link(path, tmp_path / "same-blocks")

    keys.erase(owner, ERASURE)

    assert (tmp_path / "same-blocks").read_bytes().strip(b"\0") == b""


def test_two_programs_make_one_key_for_a_customer(tmp_path: Path) -> None:
    master = MasterFile.create(tmp_path / "master.key")
    keys = Keyring.create(tmp_path / "keys", master)
    owners = [keys.token(f"C-{number}") for number in range(20)]

    def work() -> None:
        mine = Keyring(tmp_path / "keys", MasterFile(tmp_path / "master.key"))
        for owner in owners:
            mine.newest(owner)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {entry.version for entry in keys.entries()} == {1}


def test_a_key_put_in_another_customers_place_opens_nothing(
    wrapper: Wrapper, tmp_path: Path
) -> None:
    keys = Keyring.create(tmp_path / "keys", wrapper)
    one, two = keys.token("C-1"), keys.token("C-2")
    sealed(keys, one)
    sealed(keys, two)
    (path,) = (tmp_path / "keys").glob(f"c/*/{one}.json")
    (other,) = (tmp_path / "keys").glob(f"c/*/{two}.json")
    path.write_bytes(other.read_bytes().replace(two.encode(), one.encode()))

    with pytest.raises(ConfigurationError, match=r"changed|authentication failed"):
        Keyring(tmp_path / "keys", wrapper).newest(one)


def test_a_master_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    master = MasterFile.create(path)
    path.chmod(0o640)

    with pytest.raises(ConfigurationError, match=r"others may read .* chmod 600"):
        master.wrap(b"key", "c")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize(("mode", "is_read"), [(0o440, True), (0o460, False), (0o444, False)])
def test_a_container_reads_the_master_key_of_another_owner_as_its_group(
    mode: int, is_read: bool, tmp_path: Path
) -> None:
    path = tmp_path / "master.key"
    master = MasterFile.create(path)
    os.chown(path, 10001, 10001)
    path.chmod(mode)

    if is_read:
        assert master.unwrap(master.wrap(b"key", "c"), "c") == b"key"
    else:
        with pytest.raises(ConfigurationError, match="others may read"):
            master.wrap(b"key", "c")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "holds no master key"), (b"c2hvcnQ=\n", "no key of 32"), (b"!\n", "not base 64")],
)
def test_a_file_that_is_no_master_key_is_named(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "master.key"
    MasterFile.create(path)
    path.write_bytes(content)

    with pytest.raises(ConfigurationError, match=message):
        MasterFile(path).wrap(b"key", "c")


def test_keys_are_never_made_over_others(wrapper: Wrapper, tmp_path: Path) -> None:
    Keyring.create(tmp_path / "keys", wrapper)
    MasterFile.create(tmp_path / "master.key")

    with pytest.raises(ConfigurationError, match="there are keys"):
        Keyring.create(tmp_path / "keys", wrapper)
    with pytest.raises(ConfigurationError, match="there is a master key"):
        MasterFile.create(tmp_path / "master.key")
    with pytest.raises(ConfigurationError, match="there are no keys in"):
        Keyring(tmp_path / "elsewhere", wrapper)


def test_a_damaged_key_file_is_named(tmp_path: Path) -> None:
    keys = Keyring.create(tmp_path / "keys", MasterFile.create(tmp_path / "master.key"))
    (tmp_path / "keys" / f"{TOKENS}.json").write_text("{")

    with pytest.raises(ConfigurationError, match=r"tokens\.json is damaged"):
        keys.entry(TOKENS)


def test_a_key_service_that_refuses_or_is_away_is_told_apart(server: Transit) -> None:
    stranger = open_vault(service_settings(server, "another"))
    with pytest.raises(ConfigurationError, match="permission denied") as refused:
        stranger.wrap(b"key", "c")
    assert "another" not in str(refused.value)

    vault = open_vault(service_settings(server))
    with pytest.raises(ConfigurationError, match="key not found"):
        vault.wrap(b"key", "c")
    server.down = True
    with pytest.raises(UnavailableError, match="status 503"):
        vault.wrap(b"key", "c")
    gone = open_vault(Settings(kms_url="http://127.0.0.1:1", kms_token=Secret(TOKEN)))
    with pytest.raises(UnavailableError, match="does not answer"):
        gone.wrap(b"key", "c")


@pytest.mark.parametrize("form", ["file", "service"])
def test_the_commands_make_rotate_and_list_keys(
    form: str,
    server: Transit,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = {"TOCSIN_MASTER_KEY_FILE": str(tmp_path / "secret" / "master.key")}
    if form == "service":
        (tmp_path / "token").write_text(TOKEN + "\n")
        given = {"TOCSIN_KMS_URL": server.url, "TOCSIN_KMS_TOKEN_FILE": str(tmp_path / "token")}
    for name, value in {**given, "TOCSIN_DATA_DIR": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> Any:
        assert run_command([*arguments, "--json"]) == Exit.OK
        return json.loads(capsys.readouterr().out)

    assert run("keys", "init")["keys_dir"] == str(tmp_path / "keys")
    token = run("keys", "token", "C-1")["token"]
    assert run("keys", "token", token)["token"] == token
    assert run("keys", "rotate", "--customer", "C-1") == {"owner": token, "version": 1}
    assert run("keys", "rotate", "--customer", token) == {"owner": token, "version": 2}
    assert run("keys", "rotate") == {"rewrapped": 5}
    assert run("keys", "list") == {"customers": 1, "erased": 0, "keys": 5, "erasures": []}

    assert run_command(["keys", "init"]) == Exit.CONFIGURATION
    assert run_command(["erase", "C-1", "--reason", "request 17"]) == Exit.USAGE
    assert "encrypts nothing" in capsys.readouterr().err
    assert run_command(["erase", "--reason", "request 17"]) == Exit.USAGE
    monkeypatch.setenv("TOCSIN_PRIVACY", "true")
    assert run_command(["erase", "C-2", "--reason", "request 17"]) == Exit.USAGE
    assert "no key of C-2" in capsys.readouterr().err
    assert run("keys", "list")["keys"] == 5
