"""An endpoint before the real ClickHouse that alters a few words on the way, to fake its state."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

NOT_PASSED = {"accept-encoding", "content-length", "transfer-encoding", "connection", "host"}


@contextmanager
def altering(url: str, old: str, new: str) -> Iterator[str]:
    """An address that hands all through, with `old` in a statement replaced by `new`."""
    inner = urlsplit(url)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            sent = {k: v for k, v in self.headers.items() if k.lower() not in NOT_PASSED}
            connection = http.client.HTTPConnection(str(inner.hostname), inner.port, timeout=30)
            connection.request("POST", self.path, body.replace(old.encode(), new.encode()), sent)
            answer = connection.getresponse()
            told = answer.read()
            connection.close()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in NOT_PASSED:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, *_words: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
