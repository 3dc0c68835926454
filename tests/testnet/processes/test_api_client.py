"""Reading a peer's API gives a document or a ReadError for every answer."""

import json
import socket
import threading

import pytest

from p2pverify.node.data.documents import SignedDocument
from p2pverify.node.files.home import Home
from p2pverify.node.reports.documents.audits import AuditsDocument
from p2pverify.node.reports.documents.jsonform import written
from p2pverify.testnet.processes import api_client
from p2pverify.testnet.processes.api_client import ReadError, events, fetch, post
from tests.support.documents import AUDITS

BODY = json.dumps(written(AUDITS)).encode()


def answer_once(data, seen=None):
    """The URL of a server that answers one connection with these bytes and closes it. `seen` gets the request."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        with listener, listener.accept()[0] as stream:
            request = stream.recv(65_536)
            while seen is not None and b"payload" not in request:
                request += stream.recv(65_536)
            if seen is not None:
                seen.append(request)
            stream.sendall(data)

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def http(body, status="200 OK"):
    """An HTTP answer."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def test_a_document():
    """It is the document that the peer wrote."""
    assert fetch(answer_once(http(BODY)), "/v1/audits", AuditsDocument) == AUDITS


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense\r\n\r\n",
        http(b"not json"),
        http(b'{"disputes": 5}'),
        http(b"{}"),
        http(BODY, "503 Service Unavailable"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        http(b"[" * 100_000),
    ],
)
def test_what_is_no_document(data):
    """Other programs, broken answers and refusals give the same error."""
    with pytest.raises(ReadError):
        fetch(answer_once(data), "/v1/audits", AuditsDocument)


def test_an_answer_that_is_too_long(monkeypatch):
    """A body above the limit is not read to its end."""
    monkeypatch.setattr(api_client, "BODY_BYTES_MAX", 100)
    with pytest.raises(ReadError):
        fetch(answer_once(http(BODY)), "/v1/audits", AuditsDocument)


def test_nobody_there():
    """A refused connection is a ReadError too."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ReadError):
        fetch(f"http://127.0.0.1:{port}", "/v1/audits", AuditsDocument)


def test_an_order_has_the_token_of_the_home(tmp_path):
    """The document of the answer, or a ReadError without a running node or a token."""
    signed = SignedDocument(schema="p2pverify/signed/1", kind="recall", record=None, reason="not now")
    home = Home(tmp_path)
    with pytest.raises(ReadError, match="no node runs"):
        post(home, "/v1/sign?kind=recall", SignedDocument, b"payload")
    token, seen = home.ensure_token(), []
    home.write_api(answer_once(http(json.dumps(written(signed)).encode(), "202 Accepted"), seen))
    assert post(home, "/v1/sign?kind=recall", SignedDocument, b"payload") == signed
    assert seen[0].startswith(b"POST /v1/sign?kind=recall ")
    assert b"Bearer " + token.encode() in seen[0]
    assert seen[0].endswith(b"payload")


def test_events_of_one_part():
    """Counters of another part and other families are left out."""
    text = (
        b"# TYPE p2pverify_events counter\n"
        b'p2pverify_events_total{event="blobs_false",part="blobs"} 2.0\n'
        b'p2pverify_events_total{event="blobs_false",part="net"} 7.0\n'
        b"p2pverify_ready 1.0\n"
    )
    assert events(answer_once(http(text)), "blobs") == {"blobs_false": 2}
