"""The command `status`: the state of the running node, and what it waits for, read over its local API."""

from collections.abc import Iterator

import click

from p2pverify.cli import client
from p2pverify.cli.context import current_home
from p2pverify.cli.table import cell, pairs, percent
from p2pverify.node.lines.words import version_name
from p2pverify.node.reports.documents.status import (
    Due,
    JobsDocument,
    LackDocument,
    ReachDocument,
    StatusDocument,
    StoredDocument,
)
from p2pverify.node.reports.shown import why

_HASH_CHARS = 16
#: Missing conditions for weight, by the name that the node gives them; `has` and `needs` are its figures.
_LACKS = {
    "membership": "to be a member: its join is in no final cut",
    "no conviction": "to be honest: a convicted peer never gets weight again",
    "end of the penalty": "the end of its penalty: epoch {needs}",
    "end of rest": "a duty met: its weight was put to rest, because it was silent for long",
    "agreement": "agreement with {needs} challengers that have weight: {has} by now",
    "answers": "{needs} answers to challengers that have weight: {has} by now",
    "availability": "answers to {needs_share} of what it is asked: {has_share} by now",
    "duties": "duties met in {needs} epochs: {has} by now",
    "slots shown": "audits for {needs} of its slots: {has} by now",
}


_REACHED = {
    "direct": "directly",
    "relayed": "through relays",
    "unreachable": "not at all",
    "unknown": "not known yet",
}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the API's JSON document.")
def status(as_json: bool) -> None:
    """Show how the running node is doing: identity, network, newest final cut, readiness, and what it waits for."""
    answer = client.get(current_home(), "/v1/status", StatusDocument)
    if as_json:
        client.print_json(answer.text)
        return
    found = answer.document
    rows: list[tuple[str, object]] = [
        ("peer", found.peer_id),
        ("network", found.network_name),
        ("network id", found.network),
        ("model", found.model),
        *_version(found),
        ("class", found.class_),
        ("standing", _standing(found)),
        ("epoch", found.epoch),
        ("up", _duration(found.uptime_s)),
        ("neighbours", found.neighbours),
        ("records", found.records),
        ("stored", _stored(found.stored)),
        *_state(found),
        *_cuts(found),
        *_waits(found),
        *(("rules", cell(text)) for text in found.coming),
        *(("round", cell(text)) for text in found.rounds),
        ("jobs", _jobs(found.jobs)),
        ("ready", found.ready),
    ]
    rows += [("  because", reason) for reason in found.reasons]
    rows += [("address", address) for address in found.addresses]
    rows += _reach(found.reach)
    click.echo(pairs(rows))


def _state(found: StatusDocument) -> Iterator[tuple[str, object]]:
    """The cut to name to a newcomer, and the state with which this home began."""
    if found.checkpoint is not None:
        yield "checkpoint", found.checkpoint
    began = found.began_with
    if began is not None:
        reason = {
            "operator": "trusted by its operator",
            "bootstrap": f"trusted by bootstrap: {began.peers} of {began.asked} first peers, {began.groups} groups",
            "own": "followed from its own",
        }[began.by]
        yield "began with", f"the state of epoch {began.epoch} ({reason})"


def _stored(stored: StoredDocument) -> str:
    """The records on the node's disk, which they are, and their size."""
    which = "all" if stored.history == "all" else "the newest"
    since = f" from epoch {stored.from_epoch} on" if stored.from_epoch else ""
    return f"{stored.records} records{since} (history: {which}), {stored.bytes / 1e6:.1f} MB"


def _reach(reach: ReachDocument) -> Iterator[tuple[str, object]]:
    """How other peers reach this node, why, and what to do."""
    yield "reached", f"{_REACHED[reach.state]}: {cell(reach.why)}"
    if reach.advice:
        yield "", cell(reach.advice)
    if reach.serves:
        yield "relay", f"for {reach.serves} other peers"


def _version(found: StatusDocument) -> Iterator[tuple[str, object]]:
    """The version that this node serves, what comes after it, and the next step."""
    own = found.version
    if own is None:
        return
    line = cell(own.line)
    yield "version", f"{version_name(line, own.number)} ({own.status}{'; this node is behind' if own.behind else ''})"
    if own.current != own.number:
        current = version_name(line, own.current)
        if own.follows:
            step = (
                "this node moves to it by itself"
                if own.current_here
                else "'p2pverify model versions' says what it waits for"
            )
        else:
            verb, command = ("serve", "serve") if own.current_here else ("get", "fetch")
            step = f"{verb} it with 'p2pverify model {command} {current}'"
        yield "", f"{current} is current; {step}"
    if own.announced is not None:
        coming = version_name(line, own.announced)
        yield "", f"{coming} is announced, and current from epoch {own.announced_from_epoch} on"


def _standing(found: StatusDocument) -> str | None:
    reason = None if found.own is None else why(found.own)
    return f"{found.standing} ({cell(reason)})" if reason else found.standing


def _cuts(found: StatusDocument) -> Iterator[tuple[str, object]]:
    final = found.final
    if final is not None and found.final_age_s is not None:
        age = _duration(found.final_age_s)
        yield "final cut", f"{cell(final.cut)[:_HASH_CHARS]} (epoch {final.epoch}, {age} old)"
        yield "view root", final.view_root
    else:
        yield "final cut", "none yet"
    yield "next cut", _due(found.next_cut)


def _waits(found: StatusDocument) -> Iterator[tuple[str, object]]:
    """The own score and weight, or the conditions that they wait for."""
    own, first, way = found.own, found.first_score, found.way_to_weight
    if own is not None and own.audits:
        yield "score", f"{percent(own.low)} to {percent(own.high)}, after {own.audits} audits"
    elif first is not None:
        yield "score", f"none yet; the first can be expected with the cut of {_due(first)}"
    else:
        yield "score", "none yet; there is no other member to ask this one"
    if way is None:
        yield "weight", found.weight
        return
    yield "weight", "0; it lacks" if way.lacks else "0; it has earned it and waits for its turn"
    for lack in way.lacks:
        yield "", _lack(lack)
    if not way.lacks:
        yield "", f"{way.earned} peers wait; the next gets it with the cut of {_due(way.turn)}"


def _lack(lack: LackDocument) -> str:
    from p2pverify.core.records.envelope import EPOCH_MAX

    if lack.needs > EPOCH_MAX:
        return "another network: this one left it behind, because it signed contested cuts"
    text = _LACKS.get(lack.what, "{what}: {has} of {needs}")
    shares = {"has_share": _ppm(lack.has), "needs_share": _ppm(lack.needs)}
    return text.format(what=cell(lack.what), has=lack.has, needs=lack.needs, **shares)


def _ppm(value: int) -> str | None:
    return percent(value / 1_000_000)


def _due(due: Due) -> str:
    when = "due now" if due.due_s == 0 else f"in {_duration(due.due_s)}"
    return f"epoch {due.epoch}, {when}"


def _jobs(jobs: JobsDocument) -> str:
    text = f"{jobs.jobs_waiting} waiting"
    if jobs.jobs_waiting:
        text += f", the oldest for {_duration(jobs.oldest_waiting_ms // 1000)}"
    return f"{text}; {jobs.jobs_late} late, {jobs.jobs_dropped} dropped"


def _duration(value: int) -> str:
    """Seconds in the two greatest units."""
    minutes, seconds = divmod(value, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
