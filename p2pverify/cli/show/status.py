"""The command `status`: the state of the running node, and what it waits for, read over its local API."""

from collections.abc import Iterator, Mapping

import click

from p2pverify.cli import client
from p2pverify.cli.context import current_home
from p2pverify.cli.table import cell, pairs, percent
from p2pverify.cli.values import documents, items, mapping

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


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the API's JSON document.")
def status(as_json: bool) -> None:
    """Show how the running node is doing: identity, network, newest final cut, readiness, and what it waits for."""
    answer = client.get(current_home(), "/v1/status", "p2pverify/status/1")
    if as_json:
        client.print_json(answer)
        return
    document = answer.document
    rows: list[tuple[str, object]] = [
        ("peer", document.get("peer_id")),
        ("network", document.get("network_name")),
        ("network id", document.get("network")),
        ("model", document.get("model")),
        ("class", document.get("class")),
        ("standing", _standing(document)),
        ("epoch", document.get("epoch")),
        ("up", _duration(document.get("uptime_s"))),
        ("neighbours", document.get("neighbours")),
        ("records", document.get("records")),
        *_cuts(document),
        *_waits(document),
        ("jobs", _jobs(mapping(document.get("jobs")))),
        ("ready", document.get("ready")),
    ]
    rows += [("  because", reason) for reason in items(document.get("reasons"))]
    rows += [("address", address) for address in items(document.get("addresses"))]
    click.echo(pairs(rows))


def _standing(document: Mapping[str, object]) -> object:
    own = mapping(document.get("own"))
    reason = own.get("reason")
    return _named(document.get("standing"), reason) if reason else document.get("standing")


def _cuts(document: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    final, coming = mapping(document.get("final")), mapping(document.get("next_cut"))
    if final:
        age = _duration(document.get("final_age_s"))
        yield "final cut", f"{cell(final.get('cut'))[:_HASH_CHARS]} (epoch {cell(final.get('epoch'))}, {age} old)"
        yield "view root", final.get("view_root")
    else:
        yield "final cut", "none yet"
    yield "next cut", _due(coming)


def _waits(document: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """The own score and weight, or the conditions that they wait for."""
    own, first = mapping(document.get("own")), mapping(document.get("first_score"))
    if own.get("audits"):
        share = f"{percent(own.get('low'))} to {percent(own.get('high'))}"
        yield "score", f"{share}, after {cell(own.get('audits'))} audits"
    elif first:
        yield "score", f"none yet; the first can be expected with the cut of {_due(first)}"
    else:
        yield "score", "none yet; there is no other member to ask this one"
    way = mapping(document.get("way_to_weight"))
    if not way:
        yield "weight", document.get("weight")
        return
    lacks = documents(way.get("lacks"))
    yield "weight", "0; it lacks" if lacks else "0; it has earned it and waits for its turn"
    for lack in lacks:
        yield "", _lack(lack)
    if not lacks:
        turn = _due(mapping(way.get("turn")))
        yield "", f"{cell(way.get('earned'))} peers wait; the next gets it with the cut of {turn}"


def _lack(lack: Mapping[str, object]) -> str:
    has, needs = lack.get("has"), lack.get("needs")
    text = _LACKS.get(cell(lack.get("what")), "{what}: {has} of {needs}")
    shares = {"has_share": _ppm(has), "needs_share": _ppm(needs)}
    return text.format(what=cell(lack.get("what")), has=cell(has), needs=cell(needs), **shares)


def _ppm(value: object) -> str | None:
    return percent(value / 1_000_000) if isinstance(value, int) else None


def _due(document: Mapping[str, object]) -> str:
    seconds = document.get("due_s")
    when = "due now" if seconds == 0 else f"in {_duration(seconds)}"
    return f"epoch {cell(document.get('epoch'))}, {when}"


def _jobs(jobs: Mapping[str, object]) -> str:
    waiting, oldest_ms = jobs.get("jobs_waiting"), jobs.get("oldest_waiting_ms")
    text = f"{cell(waiting)} waiting"
    if waiting and isinstance(oldest_ms, int):
        text += f", the oldest for {_duration(oldest_ms // 1000)}"
    return f"{text}; {cell(jobs.get('jobs_late'))} late, {cell(jobs.get('jobs_dropped'))} dropped"


def _named(name: object, detail: object) -> str:
    return f"{cell(name)} ({cell(detail)})"


def _duration(value: object) -> str | None:
    """Seconds in the two greatest units, or None if the value is not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    minutes, seconds = divmod(int(value), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
