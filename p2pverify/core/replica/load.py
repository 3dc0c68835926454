"""Taking many records at once, as from a disk or an export: judged, linked, and settled on the way.

What a refused record means is the caller's affair: a node counts it, an export that holds one does not verify.
"""

from collections.abc import Callable, Iterable, Iterator

from p2pverify.core.errors import GossipIgnore, GossipReject
from p2pverify.core.records.envelope import Record
from p2pverify.core.records.judge import judge
from p2pverify.core.records.kind_rule import Rules
from p2pverify.core.replica.fold import Fold

#: What the fold reads again is best read soon after it was judged, while it is remembered.
SETTLE_EVERY = 2048

OnRefusal = Callable[[int, GossipIgnore | GossipReject], None]
Outcome = Record | GossipIgnore | GossipReject
#: Is told what became of each record, accepted or refused, before the next one is taken from the source.
OnOutcome = Callable[[Outcome], None]
Judge = Callable[[bytes, Rules], Record]


def take_records(
    fold: Fold, rules: Rules, records: Iterable[bytes], on_refusal: OnRefusal, judge_one: Judge = judge
) -> Iterator[tuple[int, Record, list[Record]]]:
    """Take records into a fold and its ledger. Yields each that was accepted with its number, from 1, and with those
    that now have their whole prefix; afterwards the fold is settled. `judge_one` stands for `rules.judge` where much of
    its work was done before.
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
