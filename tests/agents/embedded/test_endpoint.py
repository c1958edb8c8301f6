"""What can be said of the ClickHouse endpoint and its client without an engine."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import lz4.frame  # type: ignore[import-untyped] # it ships no types
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from tocsin.agents.clickhouse.client import connect
from tocsin.agents.embedded.chdb_pool import INSERT_HEAD, StatementError
from tocsin.agents.embedded.engine import decompress
from tocsin.agents.settings.errors import ConfigurationError, UnavailableError

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "lz4": lz4.frame.compress,
    "zstd": zstd.compress,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
}


@pytest.mark.parametrize("encoding", COMPRESS)
@given(blocks=st.lists(st.binary(max_size=300), min_size=1, max_size=5))
def test_every_frame_of_a_body_is_read(encoding: str, blocks: list[bytes]) -> None:
    """Clients send one frame a block; reading the first alone once lost rows silently."""
    body = b"".join(COMPRESS[encoding](block) for block in blocks)

    assert decompress(body, encoding, 10_000) == b"".join(blocks)


@pytest.mark.parametrize("encoding", COMPRESS)
def test_a_body_that_is_cut_off_is_refused(encoding: str) -> None:
    body = COMPRESS[encoding](bytes(range(256)) * 20)

    with pytest.raises((ValueError, RuntimeError)):
        decompress(body[:-6], encoding, 1_000_000)


@pytest.mark.parametrize("encoding", COMPRESS)
def test_a_body_that_swells_beyond_the_bound_is_refused(encoding: str) -> None:
    body = COMPRESS[encoding](bytes(100_000)) + COMPRESS[encoding](b"x")

    assert len(decompress(body, encoding, 100_001)) == 100_001
    for bound in (100_000, 99_999, 10):
        with pytest.raises(ValueError, match="more than"):
            decompress(body, encoding, bound)


def test_an_unknown_encoding_is_refused_and_the_known_are_named() -> None:
    with pytest.raises(ValueError, match="lz4, zstd, gzip, deflate"):
        decompress(b"x", "br", 10)


@pytest.mark.parametrize(
    ("text", "head", "form", "data"),
    [
        (b"INSERT INTO t (a) FORMAT Native\n\x01", b"INSERT INTO t (a)", b"Native", b"\x01"),
        (b"insert into t format CSV 1,2", b"insert into t", b"CSV", b"1,2"),
        (b"INSERT INTO `a FORMAT b` FORMAT CSV\n1", b"INSERT INTO `a FORMAT b`", b"CSV", b"1"),
        (
            b"INSERT INTO t SETTINGS x='a FORMAT b' FORMAT TSV\r\n1",
            b"INSERT INTO t SETTINGS x='a FORMAT b'",
            b"TSV",
            b"1",
        ),
    ],
)
def test_an_insert_is_parted_from_its_data(
    text: bytes, head: bytes, form: bytes, data: bytes
) -> None:
    found = INSERT_HEAD.match(text)

    assert found is not None
    assert (found[1], found[2], text[found.end() :]) == (head, form, data)


@pytest.mark.parametrize(
    "text",
    [b"INSERT INTO t VALUES (1)", b"SELECT 1 FORMAT CSV", b"INSERT INTO t SELECT 'x FORMAT y'"],
)
def test_a_statement_without_data_is_not_taken_apart(text: bytes) -> None:
    assert INSERT_HEAD.match(text) is None


def test_an_error_carries_clickhouse_s_code() -> None:
    error = StatementError("Failed: Code: 60. DB::Exception: Table x does not exist.")

    assert error.code == 60
    assert error.text.startswith("Code: 60. DB::Exception")
    assert StatementError("something else").code == 1002


@pytest.mark.parametrize("url", ["", "host:8123", "ftp://host", "chdb://", "http://", "http://h:x"])
def test_an_address_that_cannot_be_right_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="is not an address"):
        connect(url)


def test_no_error_shows_a_password() -> None:
    with pytest.raises(ConfigurationError) as malformed:
        connect("http://someone:hunter2@host:port/x")
    with pytest.raises(UnavailableError) as unreachable:
        connect("http://someone:hunter2@127.0.0.1:1/x")

    for error in (malformed.value, unreachable.value):
        assert "hunter2" not in str(error)
