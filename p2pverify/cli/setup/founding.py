"""The founders of a network, and an explanation of what their number means."""

import shlex
from collections.abc import Sequence
from math import log
from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2pverify.cli.context import current_home
from p2pverify.cli.setup.init import own_key
from p2pverify.node.files.home import Home
from p2pverify.node.identity.private import HomeError

if TYPE_CHECKING:
    from p2pverify.core.contract.network import Network, Params

FOUNDERS_ADVISED = 4  # with fewer, no founder may be away or lie
COLLECT = "run 'p2pverify init' on each machine, and name every peer id that it prints with --founder"


def read_founders(texts: Sequence[str]) -> list[bytes]:
    """The keys of the named founders, or of this home's peer if none is named. Raises BadParameter, HomeError."""
    from p2pverify.core.contract.network import FOUNDERS_MAX
    from p2pverify.node.files.networkfile import read_founder

    if not texts:
        return [own_key(current_home())]
    keys: list[bytes] = []
    for text in texts:
        try:
            key = read_founder(text)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--founder") from None
        if key in keys:
            raise click.BadParameter(f"{text} is named twice", param_hint="--founder")
        keys.append(key)
    if len(keys) > FOUNDERS_MAX:
        raise click.BadParameter(f"{len(keys)} founders are more than {FOUNDERS_MAX}", param_hint="--founder")
    return keys


def tell(made: "Network", target: Path | None) -> None:
    """Print what the founders of a new network mean, and the next step with its file; `target` is None for stdout."""
    home = current_home()
    own = _own(home)
    count = len(made.founders)
    click.echo(meaning(count), err=target is None)
    click.echo(price(made.params), err=target is None)
    if count < FOUNDERS_ADVISED:
        click.echo(f"warning: {weakness(count)}. With four founders one may be away: {COLLECT}", err=True)
    if own is not None and own not in made.founders:
        from p2pverify.core.encoding.peerid import peer_id

        name = peer_id(own)
        click.echo(f"warning: this home's peer {name} is no founder; name it with --founder to be one", err=True)
    if target is not None:
        click.echo(f"next: {_next_step(home, made, target, is_founder=own in made.founders)}")


def quorum(count: int) -> int:
    """How many of `count` members with weight must sign a cut: two thirds."""
    return -(-2 * count // 3)


def meaning(count: int) -> str:
    """What this number of founders means."""
    needed = quorum(count)
    away = count - needed
    able = "none" if away == 0 else str(away)
    return (
        f"founders: {count}. They have weight from the start, and other peers earn it. "
        f"A cut is final once {needed} of {count} have signed it, so {able} may be away"
    )


def price(params: "Params") -> str:
    """How long it takes to get a third and a half of the weight, by the contract's growth."""
    third, half = (round(share * params.growth_epochs) * params.epoch_ms for share in (log(1.5), log(2)))
    if not params.growth_epochs:
        return "weight: no limit. A stranger with enough machines has a majority at once; this is for tests only"
    return (
        f"weight: a stranger with any number of machines needs {_span(third)} for a third of it, and can then stop the "
        f"network, and {_span(half)} for a half. A peer that two members sponsor waits a quarter of the time"
    )


def _span(ms: int) -> str:
    """A time in ms for people: two digits are enough."""
    for unit, size in (("days", 86_400_000), ("hours", 3_600_000), ("minutes", 60_000)):
        if ms >= 2 * size:
            return f"{round(ms / size)} {unit}"
    return f"{round(ms / 1000)} seconds"


def weakness(count: int) -> str:
    """The weakness of a network with fewer than four founders."""
    if quorum(count) == count:
        return "the network stops while a founder is away, and for good if its home is lost"
    return "a lying founder can get two contradicting cuts certified"


def _own(home: Home) -> bytes | None:
    """The key of this home's peer, or None if it cannot be read."""
    try:
        return own_key(home)
    except HomeError:
        return None


def _next_step(home: Home, made: "Network", target: Path, *, is_founder: bool) -> str:
    file = shlex.quote(str(target))
    belongs = _other_network(home, made)
    if belongs:
        other = "make another home with 'p2pverify --home DIR init'"
        if is_founder:
            return f"{belongs}, so this peer cannot join the new one; {other} and found it with that peer"
        return f"give {file} to the founders; {belongs}, and to join the new one {other}"
    if not is_founder:
        return f"give {file} to the founders, who start with 'p2pverify join {file}'"
    alone = " --alone" if len(made.founders) == 1 else ""  # no other peer can show the only founder its log
    return f"'p2pverify join {file}{alone}', and give the file to the peers that are to join"


def _other_network(home: Home, made: "Network") -> str:
    """The beginning of a sentence about the other network that a home belongs to; "" if it belongs to none."""
    from p2pverify.node.files.networkfile import load_network
    from p2pverify.node.files.textfile import FileError, FileMissingError

    try:
        kept, _ = load_network(home.network_path)
    except FileMissingError:
        return ""
    except FileError:
        return f"{home.path} belongs to a network whose file cannot be read"
    return "" if kept.id == made.id else f"{home.path} belongs to network {kept.name} ({kept.id.hex()[:16]})"
