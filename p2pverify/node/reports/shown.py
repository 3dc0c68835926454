"""How peers and scores are shown in every table: short names, intervals, and what each column means."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from p2pverify.node.reports.documents.scores import ScoreDocument

_PREFIX = "12D3KooW"  # the common prefix of the peer ids of Ed25519 keys
_SHORT_CHARS = 8  # as in the names of audits

#: The meaning of each column, by its name. All tables use one name for one thing.
COLUMNS = {
    "PEER": "the peer, by characters 9 to 16 of its peer id, or by more where two would look alike; (you) is this node",
    "CHEAT": "how this peer cheats",
    "CLASS": "its determinism class",
    "STANDING": "newcomer, probation, trusted, suspect, convicted or gone",
    "WEIGHT": "1 if it signs cuts and votes, else 0",
    "SCORE": "95 % interval of the share of its answers that agree with the majority",
    "LOW, HIGH": "ends of the 95 % interval of the share of its answers that agree with the majority",
    "AUDITS": "its judged answers, including those to its own audits",
    "AUDITED": "its answers to this node that this node has scored again",
    "WRONG": "of these, the ones that this machine answers otherwise",
    "AT MOST": "with 95 % confidence at most this share of its answers to this node is wrong",
    "P": "the chance of so many wrong answers, if it treats you as it treats the auditors",
    "FINDING": "what these figures say",
    "BY": "number of different challengers of these audits",
    "AGREE": "its answers that agreed",
    "DISSENTS": "its answers that a decided dispute found to be wrong",
    "LAST": "epoch of the last of these audits",
    "ANSWERED": "share of requests that it answered, the median over challengers with weight",
    "NO-SHOWS": "audits that it owed and did not carry out",
    "UNOPENED": "own audits whose answers it did not show afterwards",
    "VERSION": "the version of the model that it serves; behind: it is retired or recalled, so nobody asks the peer",
    "CUT": "epoch of the newest final cut that it has",
    "VIEW": "final, or provisional: it can still change",
    "DIR": "which side dialled: out is this node, in is the other",
    "MESH": "whether gossip is pushed along this connection",
    "ADDRESS": "the address that it is connected from or to",
    "AUDIT": "epoch, slot and challenger; 'audits show' explains it",
    "ASKED": "peers of the challenger's class, or across classes",
    "STATUS": "what this node knows of it",
    "GOT": "how many of the asked peers answered",
    "DISPUTE OF": "the audit in dispute",
    "ELECTORATE": "who may vote",
    "RERUN": "whether this node computed it again, and found the decision confirmed or refuted",
    "COMMITS": "sealed votes",
    "VOTES": "opened votes",
    "LOSERS": "peers whose answer the vote found to be wrong",
    "ENGINE": "what computes its answers",
    "PATH": "the numeric path, in which equal inputs give equal bits",
    "HONEST": "dissents that its honest peers are allowed, per million answers",
    "UP": "what a dissent adds to the sequential test",
    "DOWN": "what an agreement takes from it; it never falls below 0",
    "CONVICTS AT": "the sum at which the test convicts",
    "TO CONVICT": "number of dissents in a row that convict",
    "ACROSS": "the class whose answers a referee judges as follows",
    "MATCH": "greatest sum of squared margins of a match, in millionths",
    "MISMATCH": "least sum of squared margins of a mismatch, in millionths",
    "PER TOKEN": "how much the limit before it grows with each token of the answer",
    "END": "greatest margin of the answer's end, in micronats",
    "POOLED": "the class whose answers the pooled test bets on as follows",
    "ABOVE": "sum of squared margins above which a bet is won, in millionths",
    "RATE": "honest answers above it, at most, per million",
    "PAYS": "what a won bet adds to the test's capital, in millionths of it",
    "LOSES": "what an answer takes from the capital whose bets are all lost, in millionths of it",
}


def short_ids(ids: Iterable[str]) -> dict[str, str]:
    """A short name for each peer id: as many characters as needed to tell them apart, and at least 8."""
    tails = {one: one.removeprefix(_PREFIX) for one in ids}
    longest = max(map(len, tails.values()), default=0)
    chars = _SHORT_CHARS
    while chars < longest and len({tail[:chars] for tail in tails.values()}) < len(set(tails.values())):
        chars += 1
    return {one: tail[:chars] for one, tail in tails.items()}


def audit_kind(*, across: bool) -> str:
    """Which peers an audit asked."""
    return "across" if across else "in class"


def why(score: "ScoreDocument") -> str | None:
    """The reason of a peer's standing, and what this node found about it. None if there is nothing to explain."""
    rerun = score.rerun
    if score.reason is None or rerun is None:
        return score.reason
    said = f"{score.reason}; this node re-ran {rerun.confirmed + rerun.refuted} of {rerun.lost} lost disputes"
    return f"{said}, and {rerun.refuted} were decided wrongly" if rerun.refuted else said


def interval(low: float, high: float) -> str:
    """An interval of fractions as whole per cent: the low end rounded down, the high end rounded up."""
    return f"{round(low * 1e6) // 10_000}-{-(-round(high * 1e6) // 10_000)} %"


def is_interval(text: str) -> bool:
    """Whether `interval` wrote this."""
    return re.fullmatch(r"\d+-\d+ %", text) is not None


def in_units(amount: int) -> str:
    """An amount of millionths in units, with six digits behind the point."""
    whole, rest = divmod(abs(amount), 1_000_000)
    return f"{'-' if amount < 0 else ''}{whole}.{rest:06}"
