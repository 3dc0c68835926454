"""`p2pverify ask --bootstrap`: asks as a light client, which has no node, no ledger and no home.

It connects to a peer with a key of its own for this one question, gets passports of peers that this one knows, checks
them against the network file, and asks the best one. `node.light` does the work.
"""

import codecs
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2pverify.cli.errors import CliError, NotReadyError

if TYPE_CHECKING:
    from p2pverify.core.contract.manifest import Manifest
    from p2pverify.core.contract.network import Network
    from p2pverify.core.window import CheckPolicy
    from p2pverify.node.clients.language import Language
    from p2pverify.node.endpoints.address import Address
    from p2pverify.node.light.client import LightClient, LightWish
    from p2pverify.node.light.view import Trust
    from p2pverify.node.reports.documents.receipt import ReceiptDocument

DIAL_S = 20.0
OTHERS_S = 1.0
EVERY = 1  # of a user that says only how many are to answer: there is only this one question
_MODELS = "'p2pverify network show' names the models of the file"


@dataclass(frozen=True, slots=True)
class LightOptions:
    """The options of a light client as the user gave them."""

    network_file: Path | None
    bootstrap: tuple[str, ...]
    cut: bytes | None
    weights: Path | None
    model: str | None
    panel: int | None
    every: int | None
    peer: str | None
    is_row: bool = False


@dataclass(frozen=True, slots=True)
class LightAnswer:
    """The receipt, and what is known of the view by which the peer was chosen."""

    receipt: "ReceiptDocument"
    about: str


def ask_light(text: str, options: LightOptions, show: Callable[[str], None]) -> LightAnswer:
    """Ask, and show the text as it comes. Raises CliError and its kin, UserError."""
    import trio

    from p2pverify.cli.context import current_home
    from p2pverify.node.clients.language import PromptError
    from p2pverify.node.files.networkfile import load_network
    from p2pverify.node.light.client import TEMPERATURE_MILLI, LightError, LightWish

    addresses = [_address(each) for each in options.bootstrap]
    path = options.network_file or current_home().network_path
    network, manifests = load_network(path)
    manifest, policy = _wanted(manifests, options)
    peer = None if options.peer is None else _peer(options.peer)
    trust = _trust(path, network, options.cut)
    language = _language(manifest, options.weights)
    wish = LightWish(text, policy, peer, 0 if options.is_row else TEMPERATURE_MILLI)
    try:
        return trio.run(_Asked(network, manifest, language, trust, addresses, wish, show).run)
    except LightError as error:
        raise NotReadyError(error.reason, error.hint) from None
    except PromptError as error:
        raise CliError(f"the question cannot be asked: {error}", "give another question") from None


class _Asked:
    """One question of a light client."""

    def __init__(
        self,
        network: "Network",
        manifest: "Manifest",
        language: "Language",
        trust: "Trust",
        addresses: "Sequence[Address]",
        wish: "LightWish",
        show: Callable[[str], None],
    ) -> None:
        self._network = network
        self._manifest = manifest
        self._language = language
        self._trust = trust
        self._addresses = addresses
        self._wish = wish
        self._show = show
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    async def run(self) -> LightAnswer:
        """Meet peers, look at their passports, ask. Raises LightError, PromptError, NotReadyError."""
        import trio

        from p2pverify.net.protocols.visitor import Visitor
        from p2pverify.node.clock import unix_ms
        from p2pverify.node.light.client import LightClient

        seed = os.urandom(32)
        visitor = Visitor(seed, self._network.id)
        failure: Exception
        async with trio.open_nursery() as nursery:
            await nursery.start(visitor.run)
            try:
                await self._meet(visitor.meet)
                client = LightClient(self._network, self._manifest, self._language, visitor, seed, self._trust, unix_ms)
                await client.look(self._wish.peer)
                receipt = await client.answer(self._wish, self._take)
                self._show(self._decoder.decode(b"", final=True))
                return LightAnswer(receipt, _about(client, receipt))
            except Exception as error:  # noqa: BLE001  # raised again without the nursery's group around it
                failure = error
            finally:
                nursery.cancel_scope.cancel()
        raise failure

    async def _meet(self, meet: Callable[["Address"], object]) -> None:
        """Connect to the given addresses. One that answers is enough, and the others have little time after it."""
        import trio

        from p2pverify.net.border.host import DialError

        reasons: list[str] = []
        addresses = await _resolved(self._addresses, reasons)
        met = trio.Event()

        async def try_one(address: "Address") -> None:
            try:
                with trio.fail_after(DIAL_S):
                    await meet(address)  # type: ignore[misc]
            except DialError as error:
                reasons.append(f"{address}: {error}")
            except trio.TooSlowError:
                reasons.append(f"{address}: it does not answer within {DIAL_S:g} s")
            else:
                met.set()
                nursery.cancel_scope.deadline = min(nursery.cancel_scope.deadline, trio.current_time() + OTHERS_S)

        async with trio.open_nursery() as nursery:
            for address in addresses:
                nursery.start_soon(try_one, address)
        if not met.is_set():
            raise NotReadyError(f"no peer can be reached ({'; '.join(reasons)})", "name another with --bootstrap")

    def _take(self, tokens: tuple[int, ...]) -> None:
        from p2pverify.node.light.client import tokens_text

        self._show(self._decoder.decode(tokens_text(self._language, tokens)))


def _about(client: "LightClient", receipt: "ReceiptDocument") -> str:
    """What is known of the view by which the peer was chosen: its age, who signed it, and what that assumes."""
    from p2pverify.core.encoding.peerid import key_of
    from p2pverify.node.clock import unix_ms

    known = client.view.find(key_of(receipt.answers[0].peer_id))
    assert known is not None
    facts = known.facts
    age_s = max(0, client.view.age_ms(unix_ms()) // 1000)
    signed = f"{facts.signed} of {facts.weighted} peers with weight signed it"
    return f"the score is of epoch {facts.epoch}, {age_s} s old; {signed}; {client.view.trust.assumes()}"


def _wanted(manifests: "tuple[Manifest, ...]", options: LightOptions) -> "tuple[Manifest, CheckPolicy]":
    """The model, and how answers are checked. Raises CliError, UsageError."""
    from p2pverify.core.window import CheckPolicy
    from p2pverify.node.clients.models.named import PolicyError, models_named, named_model

    try:
        model = named_model(options.model or "")
        policy = model.policy(CheckPolicy(1, EVERY), options.panel, options.every)
    except PolicyError as error:
        raise click.UsageError(f"--{error.name} contradicts --model: {error}") from None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--model") from None
    if options.peer is not None and policy.panel > 1:
        raise click.UsageError("--peer asks one peer alone, so --model takes no suffix")
    known = {one.digest: one for one in manifests}
    found = models_named(known, model.name) if model.name else list(known)
    if not found:
        what = f"has no model {model.name[:80]!r}" if manifests and model.name else "has no description of a model"
        raise CliError(f"the network file {what}", _MODELS)
    if len(found) > 1:
        which = " or ".join(digest.hex() for digest in found)
        raise CliError("the network file has several models", f"name one with --model, for example by digest: {which}")
    return known[found[0]], policy


def _trust(path: Path, network: "Network", cut: bytes | None) -> "Trust":
    """Whose signatures count: the founders', or of those with weight at the start of a forked network."""
    from p2pverify.node.light.view import Trust

    if cut is not None or network.origin is None:
        return Trust(frozenset(network.founders), cut)
    from p2pverify.core.state.weights import weighted_peers
    from p2pverify.node.files.networkfile import load_start

    start = load_start(path, network)
    assert start is not None
    return Trust(frozenset(weighted_peers(start)), is_fork=True)


def _language(manifest: "Manifest", weights: Path | None) -> "Language":
    from p2pverify.engine.errors import EngineUnavailable
    from p2pverify.engine.language import find_language, language_of

    try:
        return find_language(manifest) if weights is None else language_of(manifest, weights)
    except EngineUnavailable as error:
        what = f"this machine has no tokens of the model {manifest.model!r}: {error}"
        raise CliError(what, "name a file of the model with --weights") from None


async def _resolved(addresses: "Sequence[Address]", reasons: list[str]) -> "list[Address]":
    """The addresses, with the peers that DNS has for those of the form /dnsaddr/NAME."""
    from p2pverify.core.counters import Counters
    from p2pverify.node.endpoints.address import DNSADDR

    found = [address for address in addresses if address.kind != DNSADDR]
    for seed in (address for address in addresses if address.kind == DNSADDR):
        from p2pverify.net.discovery.dnsaddr import DnsSeeds

        peers = await DnsSeeds((seed,), Counters(), loopback=False).find(seed)
        found += peers
        reasons += [] if peers else [f"{seed}: DNS has no addresses of peers there"]
    return found


def _address(text: str) -> "Address":
    from p2pverify.core.errors import DecodeError
    from p2pverify.node.endpoints.address import bootstrap_address

    try:
        return bootstrap_address(text)
    except DecodeError as error:
        raise click.BadParameter(error.reason, param_hint="--bootstrap") from None


def _peer(text: str) -> bytes:
    from p2pverify.core.encoding.peerid import key_of
    from p2pverify.core.errors import DecodeError

    try:
        return key_of(text)
    except DecodeError:
        raise click.BadParameter(
            "without a node only a whole peer id is known (12D3Koo...)", param_hint="--peer"
        ) from None
