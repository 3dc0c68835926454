"""Where a node is: the API of a home on this machine, or a URL."""

import hmac
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from p2pverify.client.errors import NoNodeError
from p2pverify.node.endpoints import proof
from p2pverify.node.files.home import Home
from p2pverify.node.identity.private import HomeError

if TYPE_CHECKING:
    from p2pverify.core.contract.network import Network

_START = "start it with 'p2pverify join'"
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class ApiAddress:
    """A node's API. With a `home_key` the node must prove with every answer that it belongs to that home."""

    url: str
    host: str
    port: int
    is_tls: bool
    host_header: str
    prefix: str
    home_key: bytes | None = None

    def not_it(self, what: str) -> NoNodeError:
        """The error for something that answers at this address, but is not the node."""
        return NoNodeError(f"what answers at {self.url} is {what}", "check the address, or the home")


def parse_url(url: str) -> ApiAddress:
    """The address in a URL such as "http://127.0.0.1:4100", with or without the "/v1" of OpenAI's clients.

    Raises ValueError.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    is_clean = url.isascii() and url.isprintable() and " " not in url
    if not is_clean or parts.scheme not in _DEFAULT_PORTS or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{url[:200]!r} is not the URL of a node, such as http://127.0.0.1:4100")
    if "@" in parts.netloc:
        raise ValueError("a URL must not hold a password: give the key as key=")
    prefix = parts.path.rstrip("/").removesuffix("/v1")
    shown = f"{parts.scheme}://{parts.netloc}{prefix}"
    is_tls = parts.scheme == "https"
    return ApiAddress(shown, parts.hostname, port or _DEFAULT_PORTS[parts.scheme], is_tls, parts.netloc, prefix)


@dataclass(frozen=True, slots=True)
class NodePlace:
    """How to find a node: by a URL, or in a home, where it may have another address after each start."""

    home: Home | None
    fixed: ApiAddress | None

    @classmethod
    def of(cls, home: str | Path | None, url: str | None) -> "NodePlace":
        """The place that a caller named; by default the home that the command line uses. Raises ValueError."""
        if url is None:
            return cls(Home.find(home), None)
        if home is not None:
            raise ValueError("give a home or a URL, not both")
        return cls(None, parse_url(url))

    def find(self) -> ApiAddress:
        """The address now. Reads small files of the home. Raises NoNodeError."""
        if self.fixed is not None:
            return self.fixed
        assert self.home is not None
        try:
            url, key = self.home.read_api(), self.home.key()
        except HomeError as error:
            raise NoNodeError(error.reason, error.hint) from None
        if url is None or key is None:
            raise NoNodeError(f"no node is running in {self.home.path}", _START)
        try:
            found = parse_url(url)
        except ValueError as error:
            raise NoNodeError(f"{self.home.api_path}: {error}", "restart the node") from None
        return ApiAddress(found.url, found.host, found.port, found.is_tls, found.host_header, found.prefix, key)

    def network(self, given: "Network | Path | str | None") -> "Network | Path | str":
        """The network that a caller gave, or the network file of the home. Raises ValueError if there is neither."""
        if given is not None:
            return given
        if self.home is None:
            raise ValueError("give the network file as network=")
        return self.home.network_path


@dataclass(frozen=True, slots=True)
class ProofCheck:
    """A nonce for one request, and the check of the proof in its answer."""

    nonce: bytes

    @classmethod
    def new(cls) -> "ProofCheck":
        return cls(os.urandom(proof.NONCE_BYTES))

    @property
    def header(self) -> tuple[str, str]:
        return proof.NONCE_HEADER, self.nonce.hex()

    def check(self, address: ApiAddress, shown: str) -> None:
        """Raise NoNodeError unless `shown` proves that the node belongs to the home."""
        if address.home_key is None:
            return
        if not hmac.compare_digest(shown.encode(), proof.prove(address.home_key, self.nonce).hex().encode()):
            raise address.not_it("not the node of this home")
