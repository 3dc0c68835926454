"""`network fork`: a network that goes on from a cut of another one, without the weight of some of its members.

`core.state.fork` makes its first state, and `core.replica.contest` finds the cut and the members.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2pverify.cli.errors import CliError
from p2pverify.cli.output import force_option, may_replace
from p2pverify.cli.params import NETWORK_FILE, InputFile, read_id
from p2pverify.cli.setup.founding import quorum
from p2pverify.cli.show.held import Held, recompute
from p2pverify.cli.table import pairs
from p2pverify.node.files.outputs import check_output, open_output

if TYPE_CHECKING:
    from p2pverify.core.contract.manifest import Manifest
    from p2pverify.core.contract.network import Network
    from p2pverify.core.state.state import State

LAST_UNCONTESTED = "last-uncontested"


class CutName(click.ParamType["str | bytes"]):
    """The id of a cut, or LAST_UNCONTESTED."""

    name = f"cut|{LAST_UNCONTESTED}"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str | bytes:
        """The id (32 B), or LAST_UNCONTESTED. Raises BadParameter."""
        if value == LAST_UNCONTESTED:
            return LAST_UNCONTESTED
        found = read_id(str(value))
        if found is None:
            self.fail(f"give the 64 hexadecimal digits of a cut's id, or {LAST_UNCONTESTED}", param, ctx)
        return found


@click.command()
@click.argument(
    "file", required=False, type=InputFile("write one with 'p2pverify ledger export FILE'", allow_stdin=True)
)
@click.option(
    "--from",
    "chosen",
    type=CutName(),
    default=LAST_UNCONTESTED,
    show_default=True,
    help="The cut that it goes on from.",
)
@click.option(
    "--objector",
    "objectors",
    multiple=True,
    metavar="PEER_ID",
    help="A member whose objections count; may be repeated. Default: this home's peer.",
)
@click.option(
    "--without", multiple=True, metavar="PEER_ID", help="A further member that loses its weight; may be repeated."
)
@click.option(
    "--away",
    multiple=True,
    metavar="PEER_ID",
    help="A member that does not come along yet: its weight rests until it does. May be repeated.",
)
@click.option("--network", "network_file", type=NETWORK_FILE, help="The network file, for the manifests in it.")
@click.option("-o", "--output", default="fork.toml", show_default=True, metavar="FILE", help="The new network file.")
@force_option
def fork(
    file: Path | None,
    chosen: str | bytes,
    objectors: tuple[str, ...],
    without: tuple[str, ...],
    away: tuple[str, ...],
    network_file: Path | None,
    output: str,
    force: bool,
) -> None:
    """Write the file of a network that leaves a lying majority behind.

    The new network goes on from a certified cut of the present one, by the same rules. Scores, convictions and weights
    are carried over. Only the members that signed a contested cut never have weight again: a cut whose view has a
    conviction that an --objector contests. Logs begin anew. The first state lies beside the file, as FILE.state.

    The records are those of this home, whose node may run, or those of an export in FILE. Peers with the same records
    get the same files. Compare the network id with the others, because it shows that you leave the same members behind.
    """
    from p2pverify.core.replica.contest import contested_signers
    from p2pverify.core.state.fork import fork as fork_state
    from p2pverify.core.state.fork import forked_network, write_start
    from p2pverify.node.files.networkfile import dump_network, state_path

    target = Path(output)
    beside = state_path(target)
    for each in (target, beside):
        check_output(_regular(each), may_replace(force=force))
    believed = _believed(objectors)
    held = recompute(file, None).with_all()
    cut_id = _cut(held, chosen, believed)
    state = held.fold.state(cut_id)
    assert state is not None  # the cut is certified
    left = contested_signers(held.fold, state, believed)
    if chosen == LAST_UNCONTESTED and not left and not without:
        raise CliError(
            "no member has signed a cut with a conviction that these peers contest: "
            f"{', '.join(map(_name, sorted(believed))) or 'none'}",
            "'p2pverify scores' shows who contests a conviction: name these peers with --objector; or name a cut with "
            "--from and members with --without",
        )
    left |= _members(state, without, "--without")
    resting = _members(state, away, "--away") - left
    try:
        start = fork_state(state, left, resting)
    except ValueError as error:
        raise CliError(f"no network can go on from this cut: {error}", "leave fewer members behind") from None
    network = forked_network(state.rules_in(held.fold.definition), cut_id, start)
    manifests = _manifests(held, network_file)
    for path, data in ((beside, write_start(network, start)), (target, dump_network(network, manifests).encode())):
        with open_output(path, may_replace(force=force)) as out:
            out.write(data)
    click.echo(_text(network, state, start, target, beside))


def _regular(path: Path) -> Path:
    """The path of a file. Raises UsageError for standard output, because two files are written."""
    if str(path) == "-":
        raise click.BadParameter("two files are written, so name the network file", param_hint="--output")
    return path


def _believed(objectors: Sequence[str]) -> frozenset[bytes]:
    """The members whose objections count. Raises BadParameter, HomeError."""
    from p2pverify.cli.context import current_home
    from p2pverify.cli.setup.init import own_key

    home = current_home()
    if not objectors:
        return frozenset((own_key(home),)) if home.is_initialised() else frozenset()
    return frozenset(_key(text, "--objector") for text in objectors)


def _key(text: str, option: str) -> bytes:
    from p2pverify.node.files.networkfile import read_founder

    try:
        return read_founder(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None


def _members(state: "State", texts: Sequence[str], option: str) -> frozenset[bytes]:
    """The members named with an option. Raises BadParameter."""
    keys = [_key(text, option) for text in texts]
    for key, text in zip(keys, texts, strict=True):
        if key not in state.members:
            raise click.BadParameter(f"the cut knows no {text}", param_hint=option)
    return frozenset(keys)


def _cut(held: Held, chosen: str | bytes, believed: frozenset[bytes]) -> bytes:
    """The id of the cut from which the network goes on. Raises CliError."""
    from p2pverify.core.replica.contest import last_uncontested

    fold = held.fold
    if isinstance(chosen, bytes):
        if chosen == fold.network_id or not fold.is_certified(chosen):
            raise CliError(
                f"these records certify no cut {chosen.hex()[:16]}", "'p2pverify status --json' lists recent cuts"
            )
        return chosen
    found = last_uncontested(fold, believed)
    if found is None:
        raise CliError(
            "every certified cut has a contested conviction",
            "found another network with 'p2pverify network new', or name a cut with --from",
        )
    return found


def _manifests(held: Held, network_file: Path | None) -> "tuple[Manifest, ...]":
    """The manifests of the network: from its file, and from the founders' records. Raises FileError, CliError."""
    from p2pverify.cli.context import current_home
    from p2pverify.core.contract.manifest import decode_manifest
    from p2pverify.core.records.envelope import Kind
    from p2pverify.node.files.networkfile import load_network

    network = held.fold.network
    path = network_file or (current_home().network_path if held.file is None else None)
    known, manifests = (network, ()) if path is None else load_network(path)
    if known.id != network.id:
        raise CliError(
            f"{path} is network {known.id.hex()[:16]}, and the records are of {network.id.hex()[:16]}",
            "give the file of that network to --network",
        )
    found = {manifest.digest: manifest for manifest in manifests}
    for record in held.fold.ledger.records():
        if record.kind == Kind.MANIFEST:
            manifest = decode_manifest(record.payload)
            found.setdefault(manifest.digest, manifest)
    return tuple(found[digest] for digest in network.manifests if digest in found)


def _text(network: "Network", state: "State", start: "State", target: Path, beside: Path) -> str:
    from p2pverify.core.state.weights import weighted_peers

    before, after = weighted_peers(state), weighted_peers(start)
    gone = sorted(set(before) - set(after))
    origin = network.origin
    assert origin is not None  # it was made from a cut
    rows: list[tuple[str, object]] = [
        ("network", f"{network.id.hex()} in {target}"),
        ("first state", f"{origin.state.hex()} in {beside}"),
        ("goes on from", f"cut {origin.cut.hex()} of epoch {state.epoch}"),
        ("weight", f"{len(after)} of {len(before)} members keep it; {quorum(len(after))} of them make a cut final"),
        *(("" if place else "without", _lost(start, peer)) for place, peer in enumerate(gone)),
    ]
    told = (
        "next: compare the network id with the others, and give both files to the peers that come along. Each of them "
        f"stops its node and runs 'p2pverify join {shlex.quote(str(target))}'"
    )
    return f"{pairs(rows)}\n{told}"


def _lost(start: "State", peer: bytes) -> str:
    rests = ", which rests until it comes along" if start.members[peer].rests_from >= 0 else ""
    return f"{_name(peer)}{rests}"


def _name(peer: bytes) -> str:
    from p2pverify.core.encoding.peerid import peer_id

    return peer_id(peer)
