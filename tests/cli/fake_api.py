"""A local API with any answers that a test wants."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from p2pverify.node.endpoints import proof
from p2pverify.node.files.home import Home
from p2pverify.node.reports.documents.jsonform import written
from p2pverify.node.reports.documents.shape import ApiDocument


def body(document: object, status: int = 200) -> tuple[int, bytes]:
    """An answer of the API: a document, or any value of JSON."""
    value = written(document) if isinstance(document, ApiDocument) else document
    return status, json.dumps(value).encode()


@dataclass
class FakeApi:
    """Bodies by path, more headers for all answers, and what was received.

    `requests` are method, path and Authorization header, and `posted` the bodies that were sent. An answer to a path in
    `stuck` does not end before its event.
    """

    bodies: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    posted: list[bytes] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    stuck: dict[str, threading.Event] = field(default_factory=dict)
    asked: threading.Event = field(default_factory=threading.Event)


@contextmanager
def fake_api(home: Home, bodies: dict[str, tuple[int, bytes]]) -> Iterator[FakeApi]:
    """Serve `bodies` on a free port that the home's `api` file names."""
    state = FakeApi({"/livez": (200, b'{"schema":"p2pverify/live/1","live":true}'), **bodies})
    home.init()
    home.ensure_token()
    key: Any = home.key()
    assert key is not None

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.requests.append((self.command, self.path, self.headers["Authorization"]))
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if sent:
                state.posted.append(sent)
            state.asked.set()
            status, body = state.bodies.get(self.path, (404, b"{}"))
            self.send_response(status)
            stuck = state.stuck.get(self.path)
            self.send_header("Content-Length", str(len(body) + (stuck is not None)))
            for name, value in state.headers.items():
                self.send_header(name, value)
            nonce = bytes.fromhex(self.headers[proof.NONCE_HEADER])
            self.send_header(proof.PROOF_HEADER, proof.prove(key, nonce).hex())
            self.end_headers()
            self.wfile.write(body)
            if stuck is not None:
                stuck.wait(timeout=60)

        do_POST = do_GET  # noqa: N815 - the base class's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        home.write_api(f"http://127.0.0.1:{server.server_port}")
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def raw_server(home: Home, answer: bytes) -> Iterator[None]:
    """A port that reads something from each connection, answers with fixed bytes, and closes it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        home.init()
        home.write_api(f"http://127.0.0.1:{listener.getsockname()[1]}")
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
