"""Taking many records at once, from a disk or an export: they are judged, linked, and settled on the way.

The caller decides what a refused record means: a node counts it; an export with one does not verify.
"""

from collections.abc import Callable, Iterable, Iterator

from p2pverify.core.errors import GossipIgnore, GossipReject
from p2pverify.core.records.envelope import Record
from p2pverify.core.records.judge import judge
from p2pverify.core.records.kind_rule import Rules
from p2pverify.core.replica.fold import Fold

#: The fold reads records again, so it should settle while the decoded payloads are cached.
SETTLE_EVERY = 2048

OnRefusal = Callable[[int, GossipIgnore | GossipReject], None]
Outcome = Record | GossipIgnore | GossipReject
#: Called with the outcome of each record before the next one is taken from the source.
OnOutcome = Callable[[Outcome], None]
Judge = Callable[[bytes, Rules], Record]


def take_records(
    fold: Fold, rules: Rules, records: Iterable[bytes], on_refusal: OnRefusal, judge_one: Judge = judge
) -> Iterator[tuple[int, Record, list[Record]]]:
    """Take records into a fold and its ledger, and settle the fold.

    Yields for each accepted record its number (from 1), the record, and all records that now have their whole prefix.
    `judge_one` replaces `judge` if part of its work was done before.
    """
    for number, data in enumerate(records, start=1):
        try:
            record = judge_one(data, rules)
            added = fold.ledger.add(record)
        except (GossipIgnore, GossipReject) as refused:
            on_refusal(number, refused)
            continue
        for found in added:
            fold.take(found)
        yield number, record, added
        if number % SETTLE_EVERY == 0:
            fold.settle()
    fold.settle()
