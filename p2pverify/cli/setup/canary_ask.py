"""`model canary ask`: sends one trigger to one peer, and shows the result.

`canary` makes, lists and checks triggers; `core.inference.canary` judges the answer.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2pverify.cli.context import current_home
from p2pverify.cli.errors import CliError, NotReadyError, NotVerifiedError
from p2pverify.cli.params import NETWORK_FILE, InputFile
from p2pverify.cli.table import pairs
from p2pverify.node.files.outputs import check_output

if TYPE_CHECKING:
    from p2pverify.core.contract.manifest import Manifest
    from p2pverify.core.contract.network import Network
    from p2pverify.core.inference.canary import CanaryFinding, Trigger
    from p2pverify.node.endpoints.address import Address

TIMEOUT_S = 60.0
_SCHEMA = "p2pverify/canary/1"
_SPENT = "the trigger is spent nevertheless; use another"
_file = click.Path(path_type=Path)
SECRETS_FILE = InputFile("make it with 'p2pverify model canary new', or get one from its maker")
network_option = click.option(
    "--network", "network_file", type=NETWORK_FILE, metavar="FILE", help="The network file. [the one of this home]"
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@click.argument("secrets_file", metavar="SECRETS", type=SECRETS_FILE)
@click.argument("address", metavar="ADDRESS")
@click.option("-o", "--output", type=_file, metavar="FILE", required=True, help="Write the evidence to this file.")
@network_option
@click.option("--number", type=click.IntRange(1), metavar="NUMBER", help="Which trigger. [the first fresh one]")
@click.option(
    "--own-identity", is_flag=True, help="Ask with this home's identity instead of a new one; its node must not run."
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(1.0),
    default=TIMEOUT_S,
    show_default=True,
    help="Seconds to wait for the answer.",
)
@json_option
def ask(
    secrets_file: Path,
    address: str,
    output: Path,
    network_file: Path | None,
    number: int | None,
    own_identity: bool,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Send a trigger to a peer, and compare its answer with the right one.

    ADDRESS looks like '/ip4/192.0.2.1/tcp/4747/p2p/12D3...'; 'p2pverify peers' shows the addresses of peers. The
    request looks like any other. It spends the trigger, whatever the result. The exit code is 0 for a match, 5 for a
    mismatch, 4 if there is no answer, and 1 if no verdict is possible.
    """
    from functools import partial

    import trio

    from p2pverify.core.errors import DecodeError
    from p2pverify.core.inference.canary import find_canary, opened_paths
    from p2pverify.node.files.canaries import load_secrets
    from p2pverify.node.files.networkfile import load_network

    target = _address(address)
    check_output(output)
    network, manifests = load_network(network_file or current_home().network_path)
    triggers = load_secrets(secrets_file)
    trigger = triggers[choose_fresh(triggers, number)]
    found = find_canary(manifests, trigger)
    if found is None:
        raise NotVerifiedError("no manifest of this network commits to this trigger", "name its --network")
    try:
        opened_paths(found[1], trigger)
    except DecodeError as error:
        raise NotVerifiedError(error.reason, "get the trigger again from its maker") from None
    with _identity(own=own_identity) as seed:
        exchange = _Exchange(network, found[0], secrets_file, trigger, seed, target)
        response = trio.run(partial(exchange.run, timeout_s))
    finding = _keep_evidence(network, manifests, trigger, exchange.request, response, output)
    print_finding(finding, as_json=as_json)
    if finding.verdict == "mismatch":
        raise NotVerifiedError(
            f"the peer did not answer as the model does: {finding.reason}",
            f"'p2pverify model canary check {output}' shows it to others",
        )
    if finding.verdict != "match":
        raise CliError(
            f"no verdict is possible: {finding.reason}", "ask a peer of a class that the trigger has answers for"
        )


class _Exchange:
    """One trigger on its way: the request, and the mark that the trigger is spent."""

    def __init__(
        self,
        network: "Network",
        manifest: "Manifest",
        secrets_file: Path,
        trigger: "Trigger",
        seed: bytes,
        target: "Address",
    ) -> None:
        from p2pverify.core.encoding.sign import public_key
        from p2pverify.core.inference.question import EXPIRY_EPOCHS, Request, encode_request, sign_request
        from p2pverify.node.clock import unix_ms

        assert target.peer is not None
        requester = public_key(seed)
        question = trigger.question(manifest.digest, os.urandom(16), requester)
        expiry = network.params.epoch_at(unix_ms()) + EXPIRY_EPOCHS
        request = Request(network.id, requester, target.peer, question.id, os.urandom(32), expiry)
        self.request = encode_request(request, question, sign_request(seed, request))
        self._network_id = network.id
        self._secrets_file = secrets_file
        self._trigger = trigger
        self._seed = seed
        self._target = target

    async def run(self, timeout_s: float) -> bytes:
        """The response. Raises NotReadyError."""
        import trio

        from p2pverify.net.border.host import DialError
        from p2pverify.net.protocols.one_shot import ask_peer
        from p2pverify.node.ports import AskError

        try:
            with trio.fail_after(timeout_s):
                reply = await ask_peer(
                    self._seed,
                    self._network_id,
                    self._target,
                    self.request,
                    before=self._mark_spent,
                    tokens_max=self._trigger.tokens_max,
                )
        except DialError as error:
            raise NotReadyError(f"the peer cannot be reached: {error}", "the trigger is not spent: try later") from None
        except AskError as error:
            raise NotReadyError(f"no answer: {error.detail}", _SPENT) from None
        except trio.TooSlowError:
            raise NotReadyError(
                f"no answer within {timeout_s:g} s", "'p2pverify model canary show' says whether the trigger is spent"
            ) from None
        return reply.data

    async def _mark_spent(self) -> None:
        """Mark the trigger before the request leaves, because a trigger that a peer has seen is no longer secret."""
        from p2pverify.node.files.canaries import load_secrets, save_secrets

        save_secrets(self._secrets_file, with_spent(load_secrets(self._secrets_file), self._trigger))


def _keep_evidence(
    network: "Network",
    manifests: "tuple[Manifest, ...]",
    trigger: "Trigger",
    request: bytes,
    response: bytes,
    output: Path,
) -> "CanaryFinding":
    """Write the response as evidence if it is signed, and judge it. Raises NotReadyError."""
    from p2pverify.core.errors import DecodeError
    from p2pverify.core.inference.canary import judge_evidence, make_evidence
    from p2pverify.core.inference.question import RequestRefused
    from p2pverify.node.files.canaries import save_evidence

    try:
        evidence = make_evidence(network, trigger, request, response)
    except RequestRefused as refused:
        raise NotReadyError(f"the peer refused: {refused.code}: {refused.detail}", _SPENT) from None
    except DecodeError as error:
        raise NotReadyError(f"the answer is not valid: {error.reason}", _SPENT) from None
    save_evidence(output, evidence)
    return judge_evidence(network, manifests, evidence)


def print_finding(finding: "CanaryFinding", *, as_json: bool) -> None:
    """Print what the evidence shows, as a table or as JSON."""
    from p2pverify.core.encoding.peerid import peer_id

    rows = {
        "verdict": finding.verdict,
        "reason": finding.reason,
        "responder": peer_id(finding.responder),
        "class": finding.class_name,
        "canary": finding.canary.hex(),
        "requester": peer_id(finding.requester),
    }
    click.echo(json.dumps({"schema": _SCHEMA, **rows}) if as_json else pairs(list(rows.items())))


def choose_fresh(triggers: "tuple[Trigger, ...]", number: int | None) -> int:
    """The index of a fresh trigger: the first one, or the one with this number (from 1). Raises CliError."""
    fresh = [place for place, trigger in enumerate(triggers) if not trigger.is_spent]
    if number is None and fresh:
        return fresh[0]
    if number is None:
        raise CliError("every trigger is spent", "get or make fresh ones")
    if number > len(triggers):
        raise CliError(
            f"there is no trigger {number}, only {len(triggers)}", "'p2pverify model canary show' lists them"
        )
    if number - 1 not in fresh:
        raise CliError(f"trigger {number} is spent: somebody has seen it", "choose another")
    return number - 1


def with_spent(triggers: "Sequence[Trigger]", spent: "Trigger") -> "tuple[Trigger, ...]":
    """The triggers, with one of them marked as spent."""
    wanted = spent.commitment
    return tuple(replace(each, is_spent=True) if each.commitment == wanted else each for each in triggers)


def _address(text: str) -> "Address":
    from p2pverify.core.errors import DecodeError
    from p2pverify.node.endpoints.address import peer_address

    try:
        found = peer_address(text)
    except DecodeError as error:
        raise click.BadParameter(error.reason, param_hint="ADDRESS") from None
    if found.peer is None:
        raise click.BadParameter("the address names no peer; add /p2p/12D3... at its end", param_hint="ADDRESS")
    return found


@contextmanager
def _identity(*, own: bool) -> Iterator[bytes]:
    """The key that signs the request: a new one, or the home's key while no node runs there."""
    if not own:
        yield os.urandom(32)
        return
    home = current_home()
    seed = home.load_identity()
    with home.lock():
        yield seed
