"""The version that a node serves, as a file of its home, so that it starts with this version's weights.

Without the file a node starts with version 0 of its model. Its weights may be gone from this machine by then.
"""

from dataclasses import dataclass
from pathlib import Path

from p2pverify.core.contract.manifest import MANIFEST_BYTES_MAX, Manifest, decode_manifest
from p2pverify.core.contract.network import Network
from p2pverify.core.encoding.canon import as_array, as_bytes, decode, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.state.lines.take import referee_bounds
from p2pverify.node.files.home import atomic_file
from p2pverify.node.files.textfile import FileError, read_bytes

DOMAIN = "p2pverify/served-version/1"
_BYTES_MAX = MANIFEST_BYTES_MAX + 256
_DELETE = "delete it: the node starts with version 0 of its model then"


@dataclass(frozen=True, slots=True)
class ServedFile:
    """A later version of the model with the manifest `genesis` (digest, 32 B), by its own manifest."""

    genesis: bytes
    manifest: Manifest


def keep_version(path: Path, served: ServedFile | None) -> None:
    """Write the file, or delete it for version 0. Raises OSError."""
    if served is None:
        path.unlink(missing_ok=True)
        return
    with atomic_file(path, mode=0o600) as file:
        file.write(encode([DOMAIN, served.genesis, served.manifest.encode()]))


def read_version(path: Path) -> ServedFile | None:
    """Read the file; None if there is none. Raises FileError."""
    if not path.exists():
        return None
    data = read_bytes(path, size_max=_BYTES_MAX, missing=_DELETE)
    try:
        domain, genesis, manifest = as_array(decode(data, size_max=_BYTES_MAX), "served version", length=3)
        if domain != DOMAIN:
            raise DecodeError("not a served version")
        found = as_bytes(manifest, "manifest", size_max=MANIFEST_BYTES_MAX)
        return ServedFile(as_bytes(genesis, "genesis", size=32), decode_manifest(found))
    except DecodeError as error:
        raise FileError(path, f"cannot be read: {error.reason}", _DELETE) from None


def contract_of_served(network: Network, served: ServedFile | None) -> Network:
    """The contract among the members that serve a version: that of the network for version 0."""
    index = None if served is None else network.line_from(served.genesis)
    if served is None or index is None:
        return network
    return network.with_version(index, served.manifest.digest, referee_bounds(network, index, served.manifest))
