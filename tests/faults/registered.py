"""A schema registry for fault runs: a proxy before it, its ids in place of the packaged ones."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import requests

from tests.faults import wire
from tests.faults.proxy import HOST, Proxy
from tests.services.conftest import new_registry

EVOLVED = "invoices"
COLOUR = {"name": "colour", "type": ["null", "string"], "default": None}
ANSWER_WITHIN_S = 30.0


class Registry:
    """One registry for a series of runs, which know it by the proxy's address."""

    def __init__(self, folder: Path, chance: Random) -> None:
        self._service = new_registry(folder)
        self._chance = chance
        self._port = 0
        self.proxy = Proxy(0, chance)

    async def start(self) -> None:
        """Start it, or start it again; the proxy listens where it did."""
        await self._service.start()

    async def open_proxy(self) -> None:
        """Let the proxy listen, in the running loop."""
        self.proxy = Proxy(urlsplit(self._service.url).port or 0, self._chance)
        self._port = await self.proxy.start(self._port)

    async def revive(self) -> None:
        """Start it again if it does not run."""
        if self._service.returncode is not None:
            await self._service.start()

    async def stop(self) -> None:
        """Stop it."""
        await self._service.stop()

    def kill(self) -> None:
        """End it at once."""
        self._service.kill()

    @property
    def url(self) -> str:
        """Its address as the product has it."""
        return urlsplit(self._service.url)._replace(netloc=f"{HOST}:{self._port}").geturl()

    async def adopt(self, prefix: str) -> None:
        """Write all topics by the ids that the registry gave a deployment's schemas."""
        for topic in wire.REGISTERED:
            wire.write_as(topic, *await asyncio.to_thread(self._latest, f"{prefix}{topic}-value"))

    async def evolve(self, prefix: str) -> None:
        """Register a next version of one schema, and write by that from now on."""
        subject = f"{prefix}{EVOLVED}-value"
        _, schema = await asyncio.to_thread(self._latest, subject)
        for record in schema if isinstance(schema, list) else [schema]:
            if record["name"].endswith("InvoiceIssued"):
                record["fields"].append(COLOUR)
        body = {"schema": json.dumps(schema)}
        await asyncio.to_thread(self._ask, "POST", f"/subjects/{subject}/versions", body)
        wire.write_as(EVOLVED, *await asyncio.to_thread(self._latest, subject))

    def _latest(self, subject: str) -> tuple[int, Any]:
        found = self._ask("GET", f"/subjects/{subject}/versions/latest")
        return found["id"], json.loads(found["schema"])

    def _ask(self, method: str, path: str, body: dict[str, str] | None = None) -> Any:
        answer = requests.request(
            method, self._service.url + path, json=body, timeout=ANSWER_WITHIN_S
        )
        answer.raise_for_status()
        return answer.json()
