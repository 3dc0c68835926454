"""`identity`: the key of a home and its next key. They are shown, locked, moved to another home, and replaced."""

import json
from pathlib import Path

import click

from p2pverify.cli.context import current_home
from p2pverify.cli.errors import CliError
from p2pverify.cli.identity.nextkey import make_next, new_seed, read_next, tell_next
from p2pverify.cli.params import InputFile
from p2pverify.cli.table import pairs
from p2pverify.node.files.home import Home
from p2pverify.node.files.outputs import check_output

_KEY = InputFile("it was written by --next-key or --write, or holds the 64 hex digits that were shown")


@click.group()
def identity() -> None:
    """Show, lock, move or replace the key of this home.

    An identity has a next key, which is made with it and kept elsewhere. With it a member moves to a new key and keeps
    its standing: 'rotate' while this key is here, 'recover' if it is lost. The thief of a key cannot do that.
    """


@identity.command("show")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(as_json: bool) -> None:
    """Show the peer id, how the key file is kept, and what belongs to it. No secret is shown."""
    from p2pverify.cli.setup.init import own_peer_id
    from p2pverify.core.encoding.peerid import peer_id
    from p2pverify.node.identity.keyfile import is_locked
    from p2pverify.node.identity.papers import IdentityPapers

    home = current_home()
    papers, own = IdentityPapers(home), own_peer_id(home)
    digest, paper = papers.next_key, papers.handover
    facts = {
        "peer_id": own,
        "locked": is_locked(home.identity_text()),
        "exported": papers.is_exported,
        "next": None if digest is None else digest.hex(),
        "takes_over": None if paper is None else peer_id(paper.old),
    }
    if as_json:
        click.echo(json.dumps({"schema": "p2pverify/own-identity/1", **facts}))
        return
    rows = [
        ("peer id", own),
        (
            "key file",
            "locked with a passphrase" if facts["locked"] else "not locked; 'p2pverify identity encrypt' locks it",
        ),
        ("next key", "none; 'p2pverify identity next' makes one" if digest is None else f"digest {digest.hex()[:16]}"),
    ]
    if paper is not None:
        rows.append(("takes over from", peer_id(paper.old)))
    if papers.is_exported:
        rows.append(("exported", "yes, so it does not run here"))
    click.echo(pairs(rows))


@identity.command("next")
@click.option("--write", "file", type=click.Path(path_type=Path), help="Write the key to this new file.")
@click.option("--replace", is_flag=True, help="Make another one. Only before the first start of the node.")
def next_key(file: Path | None, replace: bool) -> None:
    """Make the next key of an identity that has none. It is shown only now, and this home keeps no copy.

    A member that joined without one names it with its next join: 'p2pverify leave', then 'p2pverify join --rejoin'.
    """
    from p2pverify.node.identity.papers import IdentityPapers

    home = current_home()
    home.identity_text()
    if file is not None:
        check_output(file)
    with home.lock():
        if IdentityPapers(home).next_key is not None and not (replace and home.unused_path.exists()):
            hint = "it is named in the ledger and cannot be replaced; 'p2pverify identity rotate' changes both keys"
            raise CliError(
                "this identity has a next key", hint if replace else "--replace makes another before the first start"
            )
        tell_next(make_next(home, file), file)


@identity.command("rotate")
@click.option("--key", "key_file", type=_KEY, help="The file of the next key; else it is asked at the terminal.")
@click.option("--write", "file", type=click.Path(path_type=Path), help="Write the key after it to this new file.")
def rotate(key_file: Path | None, file: Path | None) -> None:
    """Move this home to its next key, with the signature of the present one. The node must be stopped.

    Start the node again afterwards: the new key takes over the standing of the old one, some epochs later. Until then
    it has no weight. A network needs the signatures of two thirds of its weight without this member, so one of two
    members cannot rotate. The present key is deleted. The peer id changes, and so do the addresses of this node.
    """
    from p2pverify.cli.identity.moving import finish_move, handover_paper, write_paper
    from p2pverify.core.encoding.sign import public_key
    from p2pverify.core.records.payloads.keys.handover import next_digest
    from p2pverify.node.identity.papers import IdentityPapers

    home = current_home()
    home.identity_text()
    if file is not None:
        check_output(file)
    with home.lock():
        papers = IdentityPapers(home)
        digest = papers.next_key
        if digest is None:
            raise CliError("this identity has no next key", "'p2pverify identity next' makes one before the join")
        seed, old = read_next(key_file), home.load_identity()
        if next_digest(public_key(seed)) != digest:
            raise CliError("this is not the next key of this identity", "'p2pverify identity show' shows its digest")
        following = new_seed(file)
        network = _network_id(home)
        if network is None:  # nobody knows the old key
            papers.keep_next(following)
        else:
            write_paper(home, handover_paper(seed, following, network, old_seed=old))
        home.write_identity(_as_before(home, seed))
        finish_move(home)
    _tell_moved(home, following, file)


@identity.command("recover")
@click.argument("old_peer", metavar="OLD_PEER_ID")
@click.option("--key", "key_file", type=_KEY, help="The file of the next key; else it is asked at the terminal.")
@click.option("--write", "file", type=click.Path(path_type=Path), help="Write the key after it to this new file.")
def recover(old_peer: str, key_file: Path | None, file: Path | None) -> None:
    """Make a new home from the next key of a peer whose key is lost or stolen.

    Join its network with this home: after 'handover-epochs' of the network the new key takes over. Whoever has the old
    key can object once.
    """
    from p2pverify.cli.identity.moving import unsigned_paper, write_paper
    from p2pverify.core.encoding.peerid import key_of
    from p2pverify.core.errors import DecodeError
    from p2pverify.node.files.config import TEMPLATE
    from p2pverify.node.identity.papers import IdentityPapers

    home = current_home()
    try:
        old = key_of(old_peer)
    except DecodeError:
        raise click.BadParameter(f"{old_peer[:80]!r} is not a peer id (12D3Koo...)", param_hint="OLD_PEER_ID") from None
    if home.is_initialised():
        raise CliError(f"{home.path} has an identity", "name a new home with --home")
    if file is not None:
        check_output(file)
    seed = read_next(key_file)
    following = new_seed(file)
    home.init(TEMPLATE, seed)
    write_paper(home, unsigned_paper(seed, following, None, old))
    IdentityPapers(home).keep_next(following)
    _tell_moved(home, following, file)


@identity.command("object")
@click.argument("successor", metavar="PEER_ID")
def object_to(successor: str) -> None:
    """Object to the handover of this identity to PEER_ID, which 'p2pverify status' shows. The node must run.

    For seven times 'handover-epochs' of the network only a handover with the signature of this key counts then. A key
    can object once.
    """
    from p2pverify.cli.signing import order
    from p2pverify.core.encoding.peerid import key_of
    from p2pverify.core.errors import DecodeError
    from p2pverify.core.records.payloads.keys.handover import HandoverObject

    try:
        key = key_of(successor)
    except DecodeError:
        raise click.BadParameter(f"{successor[:80]!r} is not a peer id (12D3Koo...)", param_hint="PEER_ID") from None
    order(current_home(), "object", HandoverObject(key).encode())
    click.echo("signed; the row goes on with this key once a cut holds the record")


@identity.command("encrypt")
def encrypt() -> None:
    """Lock the key file with a passphrase. The node must be stopped.

    A start then needs the passphrase: at the terminal, in the file that P2PVERIFY_PASSPHRASE_FILE names, or as the
    systemd credential p2pverify-passphrase.
    """
    from p2pverify.node.identity.keyfile import is_locked, lock, new_passphrase

    home = current_home()
    if is_locked(home.identity_text()):
        raise CliError("the key file is locked", "'p2pverify identity decrypt' unlocks it first")
    with home.lock():
        home.write_identity(lock(home.load_identity(), new_passphrase()))
    click.echo(f"{home.identity_path} is locked")


@identity.command("decrypt")
def decrypt() -> None:
    """Write the key file without a passphrase. The node must be stopped."""
    from p2pverify.node.identity.keyfile import is_locked

    home = current_home()
    if not is_locked(home.identity_text()):
        raise CliError("the key file is not locked", "'p2pverify identity encrypt' locks it")
    with home.lock():
        home.write_identity(home.load_identity().hex())
    click.echo(f"{home.identity_path} is not locked any more")


@identity.command("export")
@click.argument("file", type=click.Path(path_type=Path))
def export(file: Path) -> None:
    """Write the identity to FILE, for another home. It does not run here any more. The node must be stopped.

    FILE is as secret as the key file: lock that first with 'p2pverify identity encrypt'.
    """
    from p2pverify.node.identity.moves import export_identity
    from p2pverify.store.reading import own_count

    check_output(file)
    home = current_home()
    home.identity_text()
    with home.lock():
        export_identity(home, file, own_count(home.database_path))
    click.echo(f"exported to {file}; this home does not run with the identity any more")


@identity.command("import")
@click.argument("file", required=False, type=InputFile("make one with 'p2pverify identity export FILE'"))
@click.option("--take-back", is_flag=True, help="Run an exported identity here again. Only if it never ran elsewhere.")
def import_identity(file: Path | None, take_back: bool) -> None:
    """Make a home with an exported identity. Join its network with the new home.

    The node signs nothing until other peers have shown it all that the identity had signed.
    """
    from p2pverify.node.identity.moves import import_identity as take
    from p2pverify.node.identity.moves import take_back as back

    home = current_home()
    if take_back == (file is not None):
        raise click.UsageError("give FILE, or --take-back")
    if file is None:
        home.identity_text()
        with home.lock():
            back(home)
        click.echo("this home may run with the identity again")
        return
    take(home, file)
    click.echo(f"imported into {home.path}; next: 'p2pverify join NETWORK-FILE'")


def _network_id(home: Home) -> bytes | None:
    """The network of a home, None if it belongs to none yet."""
    from p2pverify.node.files.networkfile import load_network

    return load_network(home.network_path)[0].id if home.network_path.exists() else None


def _as_before(home: Home, seed: bytes) -> str:
    """The text of the key file with another seed: locked if it was, with the same passphrase."""
    from p2pverify.node.identity.keyfile import find_passphrase, is_locked, lock

    return lock(seed, find_passphrase(home.identity_path)) if is_locked(home.identity_text()) else seed.hex()


def _tell_moved(home: Home, following: bytes, file: Path | None) -> None:
    from p2pverify.cli.setup.init import own_peer_id

    click.echo(f"peer id: {own_peer_id(home)}")
    tell_next(following, file)
    click.echo("next: 'p2pverify join'; 'p2pverify status' shows when the new key takes over")
