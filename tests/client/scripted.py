"""A server that answers with fixed bytes, and a certificate for it."""

import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

#: One answer: its parts are sent one after the other.
Script = Iterable[bytes]


@dataclass
class ScriptedServer:
    """A server on loopback. `requests` are those that it got; `left` is set when a client leaves before the end."""

    url: str
    requests: list[bytes] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)


@contextmanager
def scripted(*answers: Script, tls: ssl.SSLContext | None = None) -> Iterator[ScriptedServer]:
    """Serve the answers, one to each connection; the last one to all further ones."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        scheme = "http" if tls is None else "https"
        server = ScriptedServer(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}")

        def serve() -> None:
            for number in range(1000):
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(20)
                    _answer(server, connection, answers[min(number, len(answers) - 1)], tls)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(30)


def _answer(server: ScriptedServer, raw: socket.socket, script: Script, tls: ssl.SSLContext | None) -> None:
    try:
        connection = raw if tls is None else tls.wrap_socket(raw, server_side=True)
        server.requests.append(_request(connection))
        for part in script:
            connection.sendall(part)
        if tls is not None:
            connection.close()
    except OSError:
        server.left.set()


def _request(connection: socket.socket) -> bytes:
    """One whole request."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _received(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        body += _received(connection)
    return head + b"\r\n\r\n" + body


def _received(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("the client left")
    return data


def http(body: bytes, status: str = "200 OK", *headers: str) -> list[bytes]:
    """An answer of known length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return ["\r\n".join(lines).encode() + body]


def new_certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """The context of a server at 127.0.0.1, and the file of its certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    return context, certificate
