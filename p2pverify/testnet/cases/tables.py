"""The tables of a case study for a terminal, from the facts of its run."""

from collections.abc import Sequence

from p2pverify.testnet.cases.facts import CaseFacts, ModelVersionFacts, PeerFacts

MILLION = 1_000_000
PEER_HEAD = ("PEER", "ROLE", "CHEAT", "STANDING", "ROWS", "CREDIT", "PAID", "ON TIME", "NOTE")
VERSION_HEAD = ("VERSION", "AUC", "STATUS", "DECIDED BY")
ROUND_HEAD = ("ROUND", "EPOCH", "GAIN", "VERSION", "AUC", "DECIDED BY")
ACCOUNT_HEAD = ("ACCOUNT", "VESTED", "ESCROW", "ANSWERS", "AUDITS", "VOTES", "TRAINING", "FORFEITED", "CLAIMS")
_LEFT = frozenset(("PEER", "ROLE", "CHEAT", "STANDING", "NOTE", "STATUS", "DECIDED BY", "ACCOUNT"))


def peer_rows(facts: CaseFacts) -> list[tuple[str, ...]]:
    """A row for each peer. CREDIT is the part of all credit, and ON TIME the part of its counted rounds."""
    return [
        (
            peer.name,
            peer.role,
            peer.cheat or "",
            peer.standing,
            str(peer.rows) if peer.rows else "-",
            f"{peer.share:.1%}" if peer.rows else "-",
            money(peer.paid),
            on_time(peer),
            peer.note,
        )
        for peer in facts.peers
    ]


def version_rows(facts: CaseFacts) -> list[tuple[str, ...]]:
    """A row for each version."""
    return [
        (str(one.number), f"{one.auc:.3f}", _status(one), _decided(one.agreed, one.voters) or "the network file")
        for one in facts.versions
    ]


def _status(version: ModelVersionFacts) -> str:
    return f"{version.status}, tainted" if version.tainted else version.status


def round_rows(facts: CaseFacts) -> list[tuple[str, ...]]:
    """A row for each round. GAIN is in thousandths of a nat."""
    return [
        (
            str(one.number) if one.repeats is None else f"{one.number} (again {one.repeats})",
            str(one.epoch),
            f"{one.gain / 1000:.1f}" if one.decided else "-",
            "-" if one.version is None else str(one.version),
            f"{one.auc:.3f}",
            _decided(one.agreed, one.voters) or "void",
        )
        for one in facts.rounds
    ]


def account_rows(facts: CaseFacts) -> list[tuple[str, ...]]:
    """A row for each account, and the sum of what all have."""
    rows = [
        (
            one.name,
            *map(
                money,
                (
                    one.vested,
                    one.escrow,
                    one.answers,
                    one.audits,
                    one.votes,
                    one.training,
                    one.forfeited,
                    one.claims,
                ),
            ),
        )
        for one in facts.accounts
    ]
    total = sum(one.total for one in facts.accounts)
    return [*rows, ("sum", money(total), "(with escrow)", *[""] * 6)] if rows else []


def summary(facts: CaseFacts) -> str:
    """The whole report for a terminal."""
    source = f"{facts.rows} real rows ({facts.data}, {facts.licence})"
    parts = [
        f"case study {facts.study}: {source}, {facts.test_rows} of them held by no peer",
        aligned(PEER_HEAD, peer_rows(facts)),
        aligned(ROUND_HEAD, round_rows(facts)),
        aligned(VERSION_HEAD, version_rows(facts)),
    ]
    if facts.accounts:
        parts.append(f"accounts in {facts.unit}:\n" + aligned(ACCOUNT_HEAD, account_rows(facts)))
    parts.append(
        f"AUC on the rows that no peer holds: {facts.start:.3f} at first, {facts.versions[-1].auc:.3f} at the end; "
        f"{facts.alone:.3f} for an honest contributor alone (mean), {facts.central:.3f} for a regression in floats "
        f"over all rows together"
    )
    parts += [f"epoch {event.epoch}: {event.what}" for event in facts.events]
    parts += [f"{'ok  ' if check.holds else 'NOT '}{check.what}: {check.found}" for check in facts.checks]
    parts.append(
        f"ledger: {facts.ledger.records} records, {facts.ledger.bytes} bytes, up to cut {facts.ledger.cut[:16]} of "
        f"epoch {facts.ledger.epoch}"
    )
    return "\n".join(parts)


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in columns; numbers are on the right."""
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    lines = []
    for row in (head, *rows):
        cells = [
            cell.ljust(width) if name in _LEFT else cell.rjust(width)
            for cell, width, name in zip(row, widths, head, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def money(amount: int | None) -> str:
    """An amount of millionths in its unit."""
    if amount is None:
        return "-"
    return f"{amount / MILLION:.6f}".rstrip("0").rstrip(".") if amount else "0"


def on_time(peer: PeerFacts) -> str:
    """In how many of its counted rounds a peer sealed in the first cut."""
    return f"{peer.on_time}/{peer.counted}" if peer.rows else "-"


def _decided(agreed: int, voters: int) -> str:
    return f"{agreed} of {voters}" if agreed else ""
