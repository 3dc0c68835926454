"""`model publisher-key`: the keys with which publishers sign what they say about a line."""

import json
from pathlib import Path

import click

from p2pverify.cli.params import InputFile
from p2pverify.cli.table import pairs
from p2pverify.node.files.outputs import check_output

SCHEMA = "p2pverify/publisher-key/1"


@click.group("publisher-key")
def publisher_key() -> None:
    """Make and show keys of publishers. Such a key belongs to no peer, and need not lie on a machine of the network."""


@publisher_key.command("new")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--oms", is_flag=True, help="A key on P-256 instead, for 'model export --format oms'; its public half is FILE.pub."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def new(file: Path, oms: bool, as_json: bool) -> None:
    """Write a new key to FILE, which only you can read, and print the name by which network files list it.

    Keep a copy in a safe place: nobody can make it again, and whoever has it can sign.
    """
    from p2pverify.node.lines.papers import SEED_BYTES, write_key

    check_output(file)
    if oms:
        public = file.with_name(f"{file.name}.pub")
        check_output(public)
        private_pem, public_pem = _p256()
        write_key(file, private_pem)
        public.write_bytes(public_pem)
        _tell(file, "public", str(public), as_json=as_json)
        return
    import os

    seed = os.urandom(SEED_BYTES)
    write_key(file, seed.hex().encode() + b"\n")
    _tell(file, "key", _name(seed), as_json=as_json)


@publisher_key.command("show")
@click.argument("file", type=InputFile("make one with 'p2pverify model publisher-key new FILE'"))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(file: Path, as_json: bool) -> None:
    """Print the name of the key in FILE, which may be the identity.key of a home too."""
    from p2pverify.node.lines.papers import load_seed

    _tell(file, "key", _name(load_seed(file)), as_json=as_json)


def _name(seed: bytes) -> str:
    from p2pverify.core.encoding.peerid import peer_id
    from p2pverify.core.encoding.sign import public_key

    return peer_id(public_key(seed))


def _p256() -> tuple[bytes, bytes]:
    """A new private key on P-256, and its public half, in PEM."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), public


def _tell(file: Path, what: str, value: str, *, as_json: bool) -> None:
    document = {"schema": SCHEMA, "file": str(file), what: value}
    click.echo(json.dumps(document) if as_json else pairs([("file", str(file)), (what, value)]))
