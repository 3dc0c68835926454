"""A passport: `verify` holds it against the network file."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2pverify.cli.check.kinds import VerifyOptions
from p2pverify.cli.errors import NotVerifiedError
from p2pverify.cli.output import UnusableError
from p2pverify.cli.table import age_text, pairs
from p2pverify.node.files.textfile import read_bytes

if TYPE_CHECKING:
    from p2pverify.core.contract.manifest import Manifest
    from p2pverify.core.contract.network import Network
    from p2pverify.core.proofs.passport import PassportFacts

_SCHEMA = "p2pverify/passport-check/1"
_AFTER = "ask the peer for another one, or take it from your own node with 'p2pverify passport'"


def check_passport_file(file: Path, options: VerifyOptions) -> None:
    """Check a passport. Raises NotVerifiedError, UnusableError."""
    from p2pverify.client.checking import check_passport_bytes
    from p2pverify.core.errors import DecodeError
    from p2pverify.core.proofs.passport import PASSPORT_BYTES_MAX, Refuted

    network, _ = trusted_network(options)
    data = read_bytes(file, size_max=PASSPORT_BYTES_MAX, missing="")
    reason, facts = None, None
    try:
        facts = check_passport_bytes(network, data, options.cut, named="--cut")
    except DecodeError as error:
        raise UnusableError(f"{file} is no valid passport: {error.reason}", _AFTER) from None
    except Refuted as refuted:
        reason = refuted.reason
    shown = None if facts is None or reason is not None else passport_values(network, facts, options.cut)
    if options.as_json:
        click.echo(json.dumps({"schema": _SCHEMA, "valid": reason is None, "reason": reason, "passport": shown}))
    elif shown is not None:
        click.echo(pairs(passport_rows(shown)))
        click.echo("\n".join(assumptions(shown)))
    if reason is not None:
        raise NotVerifiedError(f"{file} is refuted: {reason}", _AFTER)


def trusted_network(options: VerifyOptions) -> "tuple[Network, tuple[Manifest, ...]]":
    """The network that files are held against. Raises FileError, UnusableError."""
    from p2pverify.cli.context import current_home
    from p2pverify.node.files.networkfile import load_network

    path = options.network_file or current_home().network_path
    if not path.exists():
        raise UnusableError("there is no network to hold it against", "name the network file with --network FILE")
    return load_network(path)


def passport_values(network: "Network", facts: "PassportFacts", cut: bytes | None) -> dict[str, object]:
    """What a passport shows, for JSON and for text."""
    from p2pverify.core.encoding.peerid import peer_id
    from p2pverify.node.clock import unix_ms

    row, made_ms = facts.row, network.params.epoch_start_ms(facts.epoch)
    return {
        "network": network.id.hex(),
        "network_name": network.name,
        "peer_id": peer_id(row.peer),
        "standing": row.standing,
        "weight": row.weight,
        "low": row.low_ppm / 1_000_000,
        "high": row.high_ppm / 1_000_000,
        "agreements": row.agreements,
        "dissents": row.dissents,
        "conviction": row.conviction,
        "contested_by": [peer_id(peer) for peer in row.contested_by],
        "cut": facts.cut_id.hex(),
        "cut_is_trusted": cut is not None,
        "epoch": facts.epoch,
        "age_s": (unix_ms() - made_ms) // 1000,
        "signed": facts.signed,
        "weighted": facts.weighted,
        "founders_signed": facts.founders_signed,
        "founders": facts.founders,
        "manifest": None if row.manifest is None else row.manifest.hex(),
        "behind": row.is_behind,
    }


def passport_rows(shown: dict[str, object]) -> list[tuple[str, object]]:
    """The lines of a table about a passport that holds."""
    from p2pverify.node.reports.shown import interval

    low, high, contested = shown["low"], shown["high"], shown["contested_by"]
    assert isinstance(low, float)
    assert isinstance(high, float)
    assert isinstance(contested, list)
    reason = f" ({shown['conviction']})" if shown["conviction"] else ""
    contest = f", contested by {len(contested)}" if contested else ""
    counts = f"{shown['agreements']} agreements, {shown['dissents']} dissents"
    behind = ", which is retired or recalled" if shown["behind"] else ""
    version = [("serves", f"the version with manifest {shown['manifest']}{behind}")] if shown["manifest"] else []
    return [
        ("peer", shown["peer_id"]),
        *version,
        ("standing", f"{shown['standing']}{reason}{contest}, weight {shown['weight']}"),
        ("score", f"{interval(low, high)} ({counts})"),
        ("network", f"{shown['network_name']} {shown['network']}"),
        ("cut", shown["cut"]),
        ("epoch", f"{shown['epoch']}, which began {age_text(shown['age_s'])}"),
        ("signed by", f"{shown['signed']} of {shown['weighted']} peers with weight"),
        ("", f"{shown['founders_signed']} of {shown['founders']} founders"),
    ]


def assumptions(shown: dict[str, object]) -> list[str]:
    """What a passport proves and what it assumes, in sentences."""
    signed, founders = shown["founders_signed"], shown["founders"]
    assert isinstance(signed, int)
    assert isinstance(founders, int)
    lines = ["proven: two thirds of the peers with weight in this view signed it, and it has this row"]
    if shown["cut_is_trusted"]:
        lines.append("assumed: nothing but the cut id that you gave")
    elif 3 * signed >= 2 * founders > 0:
        lines.append("assumed: fewer than a third of the founders lie, because two thirds of them signed")
    else:
        lines.append("assumed: the signers who are no founders got their weight by the rules; --cut ID removes this")
    return [*lines, "not proven: that this is the newest view"]
