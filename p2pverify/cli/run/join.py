"""`join`: runs a node in the foreground, from its first start on.

It combines options, config.toml and the network file into the settings of a node, and reports when the node is ready.
`app` starts and stops the node.
"""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2pverify.cli.context import current_home
from p2pverify.cli.params import NETWORK_FILE, WEIGHTS, CutId, check_addresses, read_cheat
from p2pverify.cli.progress import Progress
from p2pverify.cli.run.adopt import adopt_network
from p2pverify.cli.setup.init import own_key
from p2pverify.cli.table import pairs
from p2pverify.node.engines.kinds import ALL_KINDS, ENGINES, LOCAL_KINDS, EngineKind

if TYPE_CHECKING:
    from p2pverify.app import NodeSettings, Running
    from p2pverify.core.contract.network import Network
    from p2pverify.engine.cheats.spec import CheatSpec
    from p2pverify.engine.engines import EngineSettings
    from p2pverify.node.cover import CoverPlan
    from p2pverify.node.files.config import Config


@click.command()
@click.argument("network_file", required=False, type=NETWORK_FILE)
@click.option("--bootstrap", multiple=True, metavar="ADDR", help="A first peer to connect to; may be repeated.")
@click.option(
    "--listen",
    multiple=True,
    metavar="ADDR",
    help="Where other peers reach this node, such as /ip4/0.0.0.0/tcp/4747; may be repeated.",
)
@click.option("--announce", multiple=True, metavar="ADDR", help="Address to tell other peers instead of --listen.")
@click.option(
    "--mdns/--no-mdns", default=None, help="Whether to find peers of the local network (default: config.toml)."
)
@click.option("--upnp/--no-upnp", default=None, help="Ask the router to forward the port (default: config.toml).")
@click.option("--http", metavar="HOST:PORT", help="Where the local API listens (loopback; port 0 = any).")
@click.option(
    "--gateway", metavar="HOST:PORT", help="Serve OpenAI's API to clients with keys of 'p2pverify key' there."
)
@click.option(
    "--engine",
    type=click.Choice(ALL_KINDS),
    help="What runs the model. Default: what the network's class needs.",
)
@click.option("--variant", metavar="NAME", help="Another numeric path of the engine: see config.toml.")
@click.option("--weights", type=WEIGHTS, help="The model's weights. Default: the file with the network's digest.")
@click.option(
    "--alone", is_flag=True, help="Sign at once: this home is the newest copy, and no other peer has more of its log."
)
@click.option(
    "--fetch", is_flag=True, help="Fetch the weights that the network serves from its peers, if they are not here."
)
@click.option(
    "--trust",
    type=CutId(),
    help="Begin with the state that follows from this cut, instead of the network's first record: the checkpoint that "
    "'p2pverify status' shows to somebody you trust.",
)
@click.option("--trust-old", is_flag=True, help="Trust a cut of any age.")
@click.option("--rejoin", is_flag=True, help="Take part again after a leave.")
@click.option("--features", type=int, default=0, hidden=True, help="Feature bits to know besides, for testnets.")
@click.option("--cheat", callback=read_cheat, metavar="KIND[:ARG][@RATE]", hidden=True, help="Lie, for testnets.")
def join(
    network_file: Path | None,
    bootstrap: tuple[str, ...],
    listen: tuple[str, ...],
    announce: tuple[str, ...],
    mdns: bool | None,
    upnp: bool | None,
    http: str | None,
    gateway: str | None,
    engine: EngineKind | None,
    variant: str | None,
    weights: Path | None,
    alone: bool,
    fetch: bool,
    trust: bytes | None,
    trust_old: bool,
    rejoin: bool,
    features: int,
    cheat: "CheatSpec | None",
) -> None:
    """Run a node in the foreground and take part in a network, until Ctrl-C.

    The home directory is made by 'p2pverify init'. NETWORK-FILE is needed at the first start; the home keeps a copy.
    Options override config.toml. The first state of a network that 'p2pverify network fork' made is read from beside
    NETWORK-FILE; a home of the network from which it goes on puts the old records aside.

    A node that has just started signs nothing until other peers have shown it its own log, because its home may be an
    older copy. If no peer can show it, as with the only founder of a network, use --alone. Never use --alone with a
    restored home.

    A network that has run for long is joined by its state: --trust CUT names a cut that somebody you trust sees as the
    checkpoint in 'p2pverify status'. Without it, the node takes what two thirds of its first peers hold, if these have
    addresses in three groups, or else reads the ledger from its beginning on.

    When the node is up, it shows a banner, or one line of JSON if stdout is not a terminal.
    """
    from p2pverify.cli.identity.moving import finish_move
    from p2pverify.node.files.config import load_config, uses_mdns
    from p2pverify.node.files.networkfile import first_peers, load_start
    from p2pverify.node.identity.papers import IdentityPapers

    home = current_home()
    own = own_key(home)
    if IdentityPapers(home).path("handover").exists():
        with home.lock():
            finish_move(home)  # of a rotation that was killed
    config = load_config(home.config_path)
    _check_places(own, config, listen, announce, bootstrap, http, gateway)
    _check_files(config, weights)
    listen = listen or config.listen
    http = config.http if http is None else http

    from p2pverify.app import NodeSettings
    from p2pverify.core.contract.rules.amend import KNOWN_FEATURES
    from p2pverify.core.window import CheckPolicy
    from p2pverify.node.blobs.files import GIGABYTE, MEGABYTE, BlobSettings
    from p2pverify.node.lines.ready import UpgradeSettings
    from p2pverify.node.rules.accepted import read_following

    network, manifests = adopt_network(home, network_file, own)
    start = load_start(home.network_path, network)
    peers = bootstrap or config.bootstrap or first_peers(home.network_path)
    with Progress() as progress:
        _start_logging(config.log_level, progress)
        _tell_of_bootstraps(peers, own)
        settings = NodeSettings(
            home=home,
            network=network,
            manifests=manifests,
            listen=listen,
            bootstrap=peers,
            announce=announce or config.announce,
            mdns=uses_mdns(listen, wanted=config.mdns) if mdns is None else mdns,
            relay=config.relay,
            upnp=config.upnp if upnp is None else upnp,
            engine=replace(engine_settings(config, network, engine, weights, variant), cheat=cheat),
            http=http,
            gateway=(config.gateway if gateway is None else gateway) or None,
            clients_need_key=config.clients_need_key,
            checks=CheckPolicy(config.panel, config.every),
            audit_rate=config.audit_rate,
            report=config.report,
            hardware=config.hardware,
            cover=_cover(config),
            blobs=BlobSettings(
                config.blobs.serve,
                round(config.blobs.upload_mb_per_s * MEGABYTE),
                round(config.blobs.quota_gb * GIGABYTE),
            ),
            upgrade=UpgradeSettings(config.upgrade.policy == "notice", fetch or config.upgrade.fetch),
            credit=config.credit.limits,
            history=config.history,
            alone=alone,
            rejoin=rejoin,
            start=start,
            following=read_following(
                home.path,
                asks=config.amendments == "ask",
                known=KNOWN_FEATURES | features,
                referee=network.referee,
            ),
            trust=trust or config.trusted_cut,
            trust_old=trust_old,
            on_progress=progress,
        )
        _run(settings, progress)


def _cover(config: "Config") -> "CoverPlan":
    """The cover requests that config.toml asks for. Raises FileError."""
    from p2pverify.node.cover import CoverPlan
    from p2pverify.node.files.corpus import read_corpus, read_replay

    if not config.cover_per_epoch:
        return CoverPlan()
    corpus = () if config.corpus is None else read_corpus(config.corpus)
    replay = () if config.replay is None else read_replay(config.replay)
    return CoverPlan(config.cover_per_epoch, (*corpus, *replay))


def engine_settings(
    config: "Config",
    network: "Network",
    engine: EngineKind | None = None,
    weights: Path | None = None,
    variant: str | None = None,
) -> "EngineSettings":
    """The engine that config.toml describes for a network, with what options say instead."""
    from p2pverify.engine.engines import EngineSettings
    from p2pverify.engine.openai import KEY_VARIABLE, Endpoint
    from p2pverify.engine.registry import EngineOpening

    return EngineSettings(
        engine or engine_kind(config, network),
        EngineOpening(
            weights=weights or config.weights,
            variant=config.variant if variant is None else variant,
            variants=config.llama_variants,
            context_tokens=config.context_tokens,
            lanes=config.lanes,
            endpoint=Endpoint(config.openai_url, config.openai_model, os.environ.get(KEY_VARIABLE, "")),
        ),
    )


def engine_kind(config: "Config", network: "Network") -> EngineKind:
    """The engine in config.toml if it is set there, else the only local one that serves a class of the network."""
    able = [k for k in LOCAL_KINDS if any(c.engine.startswith(ENGINES[k].prefix) for c in network.classes)]
    return config.engine if "engine" in config.model_fields_set or len(able) != 1 else able[0]


def _check_places(
    own: bytes,
    config: "Config",
    listen: Sequence[str],
    announced: Sequence[str],
    bootstrap: Sequence[str],
    http: str | None,
    gateway: str | None,
) -> None:
    """Raise BadParameter for an address that no node can have. The form of those in config.toml is checked before."""
    from p2pverify.node.endpoints.address import (
        BOOTSTRAP_MAX,
        announced_address,
        bootstrap_address,
        listening_address,
    )
    from p2pverify.node.endpoints.loopback import parse_bind, parse_gateway
    from p2pverify.node.files.config import ANNOUNCE_MAX, LISTEN_MAX

    check_addresses("--listen", listen, listening_address, own, count_max=LISTEN_MAX)
    check_addresses("--announce", announced, announced_address, own, count_max=ANNOUNCE_MAX)
    check_addresses("--bootstrap", bootstrap, bootstrap_address, b"", count_max=BOOTSTRAP_MAX)
    check_addresses("key 'listen' of config.toml", config.listen, listening_address, own, count_max=LISTEN_MAX)
    check_addresses("key 'announce' of config.toml", config.announce, announced_address, own, count_max=ANNOUNCE_MAX)
    for option, given, read in (("--http", http, parse_bind), ("--gateway", gateway, parse_gateway)):
        try:
            if given is not None:
                read(given)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint=option) from None


def _check_files(config: "Config", weights: Path | None) -> None:
    """Raise FileMissingError if a file or folder that config.toml names is needed and does not exist."""
    from p2pverify.node.files.textfile import FileMissingError

    names = ["llama_variants"]
    names += ["weights"] if weights is None else []
    names += ["corpus", "replay"] if config.cover_per_epoch else []
    for name in names:
        path: Path | None = getattr(config, name)
        if path is not None and not path.exists():
            raise FileMissingError(path, "there is no such file", f"correct '{name}' in config.toml")


def _tell_of_bootstraps(bootstrap: Sequence[str], own: bytes) -> None:
    """Log unusual bootstrap addresses. Dead ones are found later, when they are dialled."""
    import logging

    from p2pverify.node.endpoints.address import DNSADDR, bootstrap_address

    log = logging.getLogger(__name__)
    for text in bootstrap:
        address = bootstrap_address(text)
        peer = address.peer
        if peer == own:
            log.warning("bootstrap %s is this node itself; it is left out", text)
        elif peer is None and address.kind != DNSADDR:
            log.info("bootstrap %s names no peer id; any peer of the network at that address is accepted", text)


def _start_logging(level: str, progress: Progress) -> None:
    import logging

    def make_room(_record: logging.LogRecord) -> bool:
        progress.close()
        return True

    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(make_room)
    logging.basicConfig(
        handlers=[handler], level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("p2pverify").setLevel(level.upper())


def _run(settings: "NodeSettings", progress: Progress) -> None:
    import trio

    from p2pverify.app import run_node

    async def main() -> None:
        await _fetch_state(settings)
        if settings.upgrade.fetch and settings.network.lines:
            await _fetch_weights(settings)
        async with trio.open_nursery() as nursery:
            running = await nursery.start(partial(run_node, settings))
            progress.close()
            announce(running, settings)

    trio.run(main)
    if sys.stdout.isatty():
        click.echo("stopped")


async def _fetch_state(settings: "NodeSettings") -> None:
    """Fetch a state if this home begins with one. Raises NotVerifiedError for certified cuts that contradict."""
    from p2pverify.cli.errors import NotVerifiedError
    from p2pverify.newcomer.state import fetch_state
    from p2pverify.node.snapshot.joining import ContradictionError

    try:
        await fetch_state(settings)
    except ContradictionError as error:
        raise NotVerifiedError(error.reason, error.hint) from None


async def _fetch_weights(settings: "NodeSettings") -> None:
    """Fetch the weights of the current version if this machine has none."""
    import trio

    from p2pverify.newcomer.weights import fetch_current, needs_weights

    if await trio.to_thread.run_sync(needs_weights, settings):
        await fetch_current(settings)


def announce(running: "Running", settings: "NodeSettings") -> None:
    """Say that the node is up: a banner on a terminal, else one line of JSON."""
    if not sys.stdout.isatty():
        event = {
            "event": "ready",
            "api": running.api,
            "peer_id": running.peer_id,
            "addresses": list(running.addresses),
        }
        if running.gateway is not None:
            event["gateway"] = running.gateway
        click.echo(json.dumps(event))
        return
    network = settings.network
    rows: list[tuple[str, object]] = [
        ("peer", running.peer_id),
        ("network", f"{network.name} ({network.id.hex()})"),
        ("home", settings.home.path),
        ("API", running.api),
    ]
    rows += [("OpenAI API", f"{running.api}/v1")]
    rows += [] if running.gateway is None else [("gateway", f"{running.gateway}/v1")]
    rows += [("address", address) for address in running.addresses]
    rows += [("next", "'p2pverify scores' in another terminal; Ctrl-C stops the node")]
    click.echo(pairs(rows))
