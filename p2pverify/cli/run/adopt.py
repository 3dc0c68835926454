"""Decides which network a home belongs to when it joins, from its database, its network file and a given file.

The database decides, because its records belong to one network forever. Everything is compared before anything is
written. A fork is the exception: if it goes on from the home's network, its files and records are put aside.
"""

from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2pverify.cli.errors import CliError
from p2pverify.node.files.home import Home, atomic_file

if TYPE_CHECKING:
    from p2pverify.core.contract.manifest import Manifest
    from p2pverify.core.contract.network import Network

    Contract = tuple[Network, tuple[Manifest, ...]]

_GIVE = "call 'p2pverify join NETWORK-FILE' with the file of that network"


def adopt_network(home: Home, path: Path | None, own: bytes) -> "Contract":
    """The home's network. The file at `path` becomes the home's network file if that is missing or does not match.

    The state with which a forked network begins is taken from beside the file. Raises CliError, FileError, StoreError
    if the database is damaged, and HomeError if a file must be written while another process uses the home.
    """
    from p2pverify.node.files.networkfile import parse_network, read_network, state_path

    if path is None:
        return _kept(home, _network_of_records(home, own))
    data = read_network(path)  # read only once: it may be a pipe
    given = parse_network(path, data)
    start = _new_start(home, path, given[0])
    left = _left(home, given[0], own)
    if left is not None:
        with home.lock():
            _put_aside(home, left, given[0])
    found, text = _compared(home, path, given, data, own)
    if text is None and start is None:
        return found
    with home.lock():  # if two first joins run at once, the second finds the file of the first
        found, text = _compared(home, path, given, data, own)
        if start is not None:
            with atomic_file(state_path(home.network_path), mode=0o600) as file:
                file.write(start)
        if text is not None:
            with atomic_file(home.network_path, mode=0o600) as file:
                file.write(text)
    return found


def _new_start(home: Home, path: Path, network: "Network") -> bytes | None:
    """The state beside a given network file; None if the network begins with founders or the home has the state."""
    from p2pverify.node.files.networkfile import read_start_file
    from p2pverify.node.files.textfile import FileError

    try:
        read_start_file(home.network_path, network)
    except FileError:
        return read_start_file(path, network)
    return None


def _left(home: Home, network: "Network", own: bytes) -> bytes | None:
    """The network of the home if the given network is a fork of it, else None."""
    from p2pverify.node.files.networkfile import load_network
    from p2pverify.node.files.textfile import FileError

    if network.origin is None:
        return None
    here = _network_of_records(home, own)
    if here is None:
        try:
            here = load_network(home.network_path)[0].id
        except FileError:
            return None
    return here if here == network.origin.network else None


def _put_aside(home: Home, left: bytes, network: "Network") -> None:
    """Move the network file and the records of a network that this peer leaves into a folder of the home.

    The folder can be read like a home. The write-ahead log goes first, so that a move that ended early can be finished.
    """
    from p2pverify.node.files.networkfile import state_path

    database = home.database_path
    logs = (database.with_name(f"{database.name}-wal"), database.with_name(f"{database.name}-shm"))
    files = (*logs, database, state_path(home.network_path), home.network_path, home.leaving_path)
    present = [file for file in files if file.exists()]
    suffixes = chain([""], (f"-{number}" for number in count(2)))
    folders = (home.path / f"left-{left.hex()[:16]}{suffix}" for suffix in suffixes)
    folder = next(each for each in folders if not any((each / file.name).exists() for file in present))
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        for file in present:
            file.rename(folder / file.name)
    except OSError as error:
        raise CliError(f"{folder} cannot be written ({error.strerror})", "check its owner, mode and disk") from None
    click.echo(f"leaves network {left.hex()[:16]} for {_name(network)}; its records are now in {folder}", err=True)


def _network_of_records(home: Home, own: bytes) -> bytes | None:
    """The network id of the home's records; None if there are none yet."""
    from p2pverify.store.reading import owner_of

    owner = owner_of(home.database_path)
    if owner is not None and owner[1] != own:
        raise CliError(
            f"the identity in {home.path} is not the one that wrote the records there ({_peer(owner[1])})",
            "put back the identity.key of these records, or use another home; nothing was changed",
        )
    return None if owner is None else owner[0]


def _kept(home: Home, network_id: bytes | None) -> "Contract":
    """The content of the home's own network file, if it is the network of the records."""
    from p2pverify.node.files.networkfile import load_network

    kept = home.network_path
    if not kept.exists():
        if network_id is not None:
            raise CliError(f"{kept} is missing; the records in this home are of network {network_id.hex()[:16]}", _GIVE)
        raise CliError(
            f"{home.path} belongs to no network yet",
            "call 'p2pverify join NETWORK-FILE', or found a network with 'p2pverify network new'",
        )
    found = load_network(kept)
    if network_id is not None and found[0].id != network_id:
        raise CliError(
            f"{kept} is network {_name(found[0])}, but the records in this home are of {network_id.hex()[:16]}", _GIVE
        )
    return found


def _compared(home: Home, path: Path, given: "Contract", data: bytes, own: bytes) -> "tuple[Contract, bytes | None]":
    """Compare a given file with the home's network. Returns the contract, and the bytes to write, None for none."""
    from p2pverify.node.files.networkfile import load_network
    from p2pverify.node.files.textfile import FileError

    network = given[0]
    network_id = _network_of_records(home, own)
    if network_id is not None and network.id != network_id:
        raise CliError(
            f"{path} is network {_name(network)}, and the records in {home.path} are of {network_id.hex()[:16]}",
            "give the file of that network, or join another network from another home: 'p2pverify --home DIR join "
            "NETWORK-FILE'; nothing was changed",
        )
    kept = home.network_path
    if not kept.exists():
        return given, data
    try:
        ours = load_network(kept)
    except FileError as error:
        click.echo(f"{error.reason}; the given file replaces it", err=True)
        return given, data
    if ours[0].id == network.id:
        return _together(path, ours, given, data)
    if network_id is None:
        raise CliError(
            f"{home.path} belongs to network {_name(ours[0])}, not to {_name(network)}",
            "join another network from another home: 'p2pverify --home DIR join NETWORK-FILE'",
        )
    click.echo(f"{kept} belonged to network {_name(ours[0])}; the given file replaces it", err=True)
    return given, data


def _together(path: Path, ours: "Contract", given: "Contract", data: bytes) -> "tuple[Contract, bytes | None]":
    """Combine two files of one network: each may hold manifests that the other only names."""
    from p2pverify.node.files.networkfile import dump_network, first_peers

    ours_by_digest, by_digest = ({manifest.digest: manifest for manifest in each[1]} for each in (ours, given))
    if ours_by_digest.keys() >= by_digest.keys():
        return ours, None
    if by_digest.keys() >= ours_by_digest.keys():
        return given, data
    both = {**ours_by_digest, **by_digest}
    together = given[0], tuple(both[digest] for digest in sorted(both))
    return together, dump_network(*together, first_peers(path, data)).encode()


def _name(network: "Network") -> str:
    return f"{network.name} ({network.id.hex()[:16]})"


def _peer(key: bytes) -> str:
    from p2pverify.core.encoding.peerid import peer_id

    return peer_id(key)
