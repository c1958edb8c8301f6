"""A server of Vault's transit API for tests: its keys have versions and can be trimmed."""

from __future__ import annotations

import base64
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TOKEN = "token of the test"


class Transit(ThreadingHTTPServer):
    """Keys by name: versions from 1 on, those trimmed are gone. `down` answers with a 503."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.keys: dict[str, dict[int, bytes]] = {}
        self.least: dict[str, int] = {}
        self.down = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        act, _, name = path.partition("/")
        name, _, more = name.partition("/")
        if act == "keys" and not more and body:
            self.keys.setdefault(name, {1: secrets.token_bytes(32)})
            return 200, {}
        versions = self.keys.get(name)
        if versions is None:
            return 400, {"errors": ["encryption key not found"]}
        extra = base64.b64decode(body.get("associated_data", ""))
        newest = max(versions)
        match act, more:
            case "encrypt", "":
                nonce = secrets.token_bytes(12)
                plain = base64.b64decode(body["plaintext"])
                content = nonce + AESGCM(versions[newest]).encrypt(nonce, plain, extra)
                text = f"vault:v{newest}:{base64.b64encode(content).decode()}"
                return 200, {"data": {"ciphertext": text}}
            case "decrypt", "":
                return self._decrypted(versions, self.least.get(name, 1), body, extra)
            case "keys", "rotate":
                versions[newest + 1] = secrets.token_bytes(32)
            case "keys", "config":
                self.least[name] = body["min_decryption_version"]
            case "keys", "trim":
                for version in [v for v in versions if v < body["min_available_version"]]:
                    del versions[version]
            case "keys", "":
                return 200, {"data": {"latest_version": newest}}
            case _:
                return 404, {"errors": []}
        return 200, {}

    def _decrypted(
        self, versions: dict[int, bytes], least: int, body: dict[str, Any], extra: bytes
    ) -> tuple[int, dict[str, Any]]:
        _, version, text = body["ciphertext"].split(":")
        key = versions.get(int(version[1:]))
        if key is None or int(version[1:]) < least:
            return 400, {"errors": ["ciphertext version is disallowed by policy (too old)"]}
        content = base64.b64decode(text)
        try:
            plain = AESGCM(key).decrypt(content[:12], content[12:], extra)
        except InvalidTag:
            return 400, {"errors": ["cipher: message authentication failed"]}
        return 200, {"data": {"plaintext": base64.b64encode(plain).decode()}}


class _Handler(BaseHTTPRequestHandler):
    server: Transit

    def do_GET(self) -> None:
        self._handle({})

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._handle(json.loads(content) if content else {})

    def _handle(self, body: dict[str, Any]) -> None:
        status, answer = 403, {"errors": ["permission denied"]}
        if self.server.down:
            status, answer = 503, {"errors": ["Vault is sealed"]}
        elif self.headers.get("X-Vault-Token") == TOKEN:
            status, answer = self.server.answer(self.path.removeprefix("/v1/transit/"), body)
        content = json.dumps(answer).encode() if answer else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def transit_server() -> Iterator[Transit]:
    """Run such a server on a free port."""
    with Transit() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
