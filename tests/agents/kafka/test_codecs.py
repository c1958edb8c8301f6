"""Which compressed batches can be read: all, or it is told which not, and how to mend it."""

from __future__ import annotations

import pytest

from tocsin.agents.doctor.findings import Health
from tocsin.agents.doctor.kafka import compression
from tocsin.agents.kafka import codecs
from tocsin.agents.settings.settings import Settings

ALL = ("gzip", "snappy", "lz4", "zstd")
KINDS = ("producer", "uncompressed", *ALL)


def test_a_whole_installation_reads_all_kinds() -> None:
    assert codecs.readable() == ALL
    assert all(map(codecs.is_readable, KINDS))
    found = compression(Settings())
    assert found.health is Health.FINE
    assert "gzip, snappy, lz4, zstd" in found.what


def test_what_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(codecs._HAS, "zstd", lambda: False)  # type: ignore[index]  # its one writer

    readable = {kind for kind in KINDS if codecs.is_readable(kind)}

    assert readable == {"uncompressed", "gzip", "snappy", "lz4"}  # of a producer anything may come
    found = compression(Settings())
    assert found.health is Health.WRONG
    assert "zstd can't be read" in found.what
    assert "cramjam" in found.mend


def test_a_kind_of_a_later_kafka_is_none_that_can_be_read() -> None:
    assert not codecs.is_readable("brotli")
