"""Audits of endpoints without a model: a manifest of the toy model, and a server on loopback that can misbehave."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from p2pverify.core.contract.classes import ANY, Across
from p2pverify.core.contract.manifest import Calibration, Manifest
from p2pverify.core.contract.output import Ask
from p2pverify.core.contract.pool import Line, Pool
from p2pverify.engine import toy
from p2pverify.engine.toy import ToyEngine
from p2pverify.node.files.networkfile import manifest_of

MODEL = "the-model"
#: A match has at most 0.05 square nats. The toy model's near-ties leave far less, another model far more.
BOUNDS = Across(
    50_000, 0, 500_000, 0, 500_000, 10_000, Pool(850_000, (Line(50_000, 0, 10_000), Line(500_000, 0, 2_000)))
)
Answer = Callable[[dict[str, Any]], Any]


def toy_referee() -> ToyEngine:
    return ToyEngine(path=toy.REFEREE_PATH, engine=toy.REFEREE)


def toy_manifest(bounds: Across = BOUNDS) -> Manifest:
    """The manifest of the toy model, with thresholds for servers."""
    pair = (toy.REFEREE, toy.REFEREE_PATH, ANY, ANY)
    return replace(manifest_of(toy_referee().info), calibrations=(Calibration(*pair, 100, 64, bounds, 10_000),))


@dataclass
class ChatServer:
    """What the server does with the body of a request; bytes are sent as they are. `requests` are the bodies so far."""

    answer: Answer
    status: int = 200
    key: str = ""
    drip_s: float = 0.0  # seconds between two bytes of the head
    location: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def serve(server: ChatServer) -> Iterator[str]:
    """The base URL of a server that lives as long as the context."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20

        def do_GET(self) -> None:
            self._send(200, {"object": "list", "data": [{"id": MODEL}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.requests.append(body)
            if server.key and self.headers["Authorization"] != f"Bearer {server.key}":
                self._send(401, {"error": {"message": "invalid key"}})
                return
            found = server.answer(body)
            status, document = found if isinstance(found, tuple) else (server.status, found)
            self._send(status, document)

        def _send(self, status: int, document: Any) -> None:
            data = document if isinstance(document, bytes) else json.dumps(document).encode()
            if server.drip_s and self.command == "POST":
                self._drip()
                return
            self.send_response(status)
            if server.location:
                self.send_header("Location", server.location)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _drip(self) -> None:
            """A head that never ends, one byte at a time."""
            try:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while True:
                    self.wfile.write(b"a")
                    self.wfile.flush()
                    time.sleep(server.drip_s)
            except OSError:
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_address[1]}/v1"
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def toy_chat(variant: str = "honest", *, names: str = "ids", path: str = "server") -> Answer:
    """Answers of a toy model on another numeric path. `names`: "ids" in log-probabilities, "token_ids", or "text"."""
    engine = ToyEngine(variant, path=path)

    def answer(body: dict[str, Any]) -> Any:
        if names == "text" and "logprobs" in body:
            return 400, {"error": {"message": "logprobs are not supported"}}
        if "messages" in body:
            prompt = tuple(
                token
                for message in body["messages"]
                for token in (toy.USER, *message["content"].encode(), *_after(message["role"]))
            )
        else:
            prompt = tuple(body["prompt"])
        output = engine.answer(Ask(prompt, body["max_tokens"], 0, bytes(32))).output
        # Servers leave out the token that ends an answer.
        tokens = output.tokens[:-1] if output.finish == "stop" else output.tokens
        text = engine.decode(tokens)
        choice: dict[str, Any] = {"index": 0, "finish_reason": output.finish}
        choice |= {"message": {"role": "assistant", "content": text}} if "messages" in body else {"text": text}
        if names == "ids":
            choice["logprobs"] = {"content": [{"id": one, "token": chr(one), "logprob": -0.5} for one in tokens]}
        elif names == "token_ids":
            choice["token_ids"] = list(tokens)
        usage = {"prompt_tokens": len(prompt), "completion_tokens": len(output.tokens)}
        return {"object": "chat.completion", "choices": [choice], "usage": usage}

    return answer


def _after(role: str) -> tuple[int, ...]:
    """The token after a turn: the toy template has none for a system message."""
    return (toy.ASSISTANT,) if role == "user" else ()
