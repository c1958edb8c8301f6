"""`up --registry`: a registry that comes with a new folder, stays with it, and joins no old one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.services.conftest import new_registry
from tocsin.agents.embedded.broker import QUICK_START, KafkaOptions
from tocsin.agents.embedded.services import Embedded
from tocsin.agents.registry.client import open_http_registry
from tocsin.agents.settings.errors import ConfigurationError
from tocsin.agents.settings.settings import load


def embedded(folder: Path, *, with_registry: bool) -> Embedded:
    options = KafkaOptions(java_flags=QUICK_START)
    return Embedded(folder, with_registry=with_registry, kafka_options=options)


async def test_a_folder_keeps_its_registry_and_what_is_registered(
    tmp_path: Path, jars: list[Path]
) -> None:
    flags = {"data_dir": str(tmp_path)}
    async with embedded(tmp_path, with_registry=True):
        open_http_registry(load(flags)).register("a-value", "string")

    async with embedded(tmp_path, with_registry=False) as again:
        assert load(flags).registry_url == again.services.registry_url != ""
        (version,) = open_http_registry(load(flags)).by_subject("a-value")
        assert version.schema == "string"


async def test_what_is_registered_outlives_a_kill_in_the_next_moment(tmp_path: Path) -> None:
    registry = new_registry(tmp_path)
    await registry.start()
    try:
        client = open_http_registry(load({"data_dir": str(tmp_path), "registry_url": registry.url}))
        client.register("a-value", "string")
        registry.kill()

        await registry.start()

        assert client.subjects() == ["a-value"]
    finally:
        await registry.stop()


async def test_a_folder_with_records_of_the_files_ids_gets_no_registry(
    tmp_path: Path, jars: list[Path]
) -> None:
    (tmp_path / "kafka").mkdir()

    with pytest.raises(ConfigurationError, match="written without a schema registry"):
        async with embedded(tmp_path, with_registry=True):
            pytest.fail("it came up")

    assert not (tmp_path / "registry").exists()
