"""Cases of money: the three kinds of records, tariffs, arithmetic, and stories of settlement."""

import random
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from vectorgen import case, examples
from vectorgen.case import Case, changed, defined, forged
from vectorgen.examples import ALICE, BOB, CAROL, DAVE, EPOCH, NETWORK
from vectorgen.lines import LINED

from p2pverify.core.contract.tariff import AMOUNT_MAX
from p2pverify.core.encoding.canon import UINT_MAX, encode, sha256
from p2pverify.core.plan import CheckPlan
from p2pverify.core.records.envelope import EPOCH_MAX, Kind, Record
from p2pverify.core.records.payloads.settle.cheque import Cheque
from p2pverify.core.records.payloads.settle.payment import Payment
from p2pverify.core.records.payloads.settle.pledge import PledgeOffer
from p2pverify.core.settle.cheques import ChequeStatement
from p2pverify.core.settle.split import apportion, curve_at, netting
from tests.core.settle import second, stories
from tests.support.money import TARIFF

#: A network without a tariff knows no records of money, and one without lines no pledges.
PAID = replace(LINED, tariff=TARIFF)
judged, reject = partial(case.judged, network=PAID), partial(case.reject, network=PAID)
said, record = partial(case.said, network=PAID.id), partial(examples.record, network=PAID.id)
UNTIL = EPOCH + 10_000


def signed(
    cumulative: int = 1_400_000,
    count: int = 140,
    *,
    debtor: examples.Peer = DAVE,
    creditor: bytes = ALICE.key,
    network: bytes = PAID.id,
    until: int = UNTIL,
) -> Cheque:
    statement = ChequeStatement(network, debtor.key, creditor, until, cumulative, count)
    return Cheque(debtor.key, until, cumulative, count, statement.sign(debtor.seed))


PLEDGE_RECORD = record(BOB, Kind.PLEDGE, PledgeOffer(0, 1_000_000, 1, 6).encode(), epoch=EPOCH)
CHEQUE_RECORD = record(ALICE, Kind.CHEQUE, signed().encode(), epoch=EPOCH)
PAYMENT_RECORD = record(ALICE, Kind.PAYMENT, Payment(DAVE.key, 1_400_000, b"transfer 17").encode(), epoch=EPOCH)


def _malformed(kind: Kind, bad: list[tuple[str, object, str]]) -> list[Case]:
    name = kind.name.lower()
    return [reject(comment, said(ALICE, kind, value), f"malformed {name}: {why}") for comment, value, why in bad]


def _unknown(made: Record) -> Case:
    plain = examples.record(ALICE, Kind(made.kind), made.payload, network=LINED.id, epoch=EPOCH)
    return case.judged("a network without a tariff", plain.data, "ignore", "unknown kind", network=LINED)


def _pledges() -> list[Case]:
    good: list[object] = [0, 1_000_000, 1, 6]
    bad: list[tuple[str, object, str]] = [
        ("nothing", changed(good, 1, 0), "bounty: nothing"),
        ("more than 2^40", changed(good, 1, AMOUNT_MAX + 1), f"bounty: above {AMOUNT_MAX}"),
        ("a line beyond the last that there can be", changed(good, 0, 8), "line: above 7"),
        ("no last round", changed(good, 3, None), "last: not an unsigned integer"),
        ("an end before the beginning", changed(good, 3, 0), "the last round is before the first"),
        ("three items", good[:3], "pledge: not 4 items"),
    ]
    return [
        judged("six rounds", PLEDGE_RECORD.data),
        judged("one round, of the greatest bounty", said(BOB, Kind.PLEDGE, [0, AMOUNT_MAX, 0, 0]).data),
        judged("by a peer that nobody knows: it counts for nothing", said(DAVE, Kind.PLEDGE, good).data),
        judged(
            "for all rounds: it counts for nothing, as it is too much",
            said(BOB, Kind.PLEDGE, [0, 1, 0, 2**32 - 1]).data,
        ),
        *_malformed(Kind.PLEDGE, bad),
        reject("a line that the network does not have", said(BOB, Kind.PLEDGE, changed(good, 0, 1)), "no such line"),
        reject("signature of another message", forged(PLEDGE_RECORD), "bad signature"),
        _unknown(PLEDGE_RECORD),
    ]


def _cheques() -> list[Case]:
    one = signed()
    good: list[object] = [one.debtor, one.until, one.cumulative, one.count, one.signature]
    own = signed(debtor=ALICE)
    lacks = "the debtor's signature does not hold"
    bad: list[tuple[str, object, str]] = [
        ("a debtor of 31 bytes", changed(good, 0, bytes(31)), "debtor: not 32 bytes"),
        ("an end beyond all epochs", changed(good, 1, EPOCH_MAX + 1), f"until: above {EPOCH_MAX}"),
        ("nothing", changed(good, 2, 0), "cumulative: nothing"),
        ("more than 2^40", changed(good, 2, AMOUNT_MAX + 1), f"cumulative: above {AMOUNT_MAX}"),
        ("number 0", changed(good, 3, 0), "count: cheques count from 1"),
        ("a short signature", changed(good, 4, bytes(63)), "signature: not 64 bytes"),
        ("four items", good[:4], "cheque: not 5 items"),
    ]
    return [
        judged("a client owes 1.40", CHEQUE_RECORD.data),
        judged(
            "a series that is over: it counts for nothing", record(ALICE, Kind.CHEQUE, signed(until=0).encode()).data
        ),
        judged("again, later in the log", record(ALICE, Kind.CHEQUE, one.encode(), epoch=EPOCH, seq=9).data),
        judged(
            "the greatest numbers",
            record(ALICE, Kind.CHEQUE, signed(AMOUNT_MAX, UINT_MAX, until=EPOCH_MAX).encode(), epoch=EPOCH).data,
        ),
        *_malformed(Kind.CHEQUE, bad),
        reject("an own cheque", record(ALICE, Kind.CHEQUE, own.encode(), epoch=EPOCH), "a peer cannot owe itself"),
        reject("of another creditor", record(BOB, Kind.CHEQUE, one.encode(), epoch=EPOCH), lacks),
        reject("of another network", record(ALICE, Kind.CHEQUE, signed(network=LINED.id).encode(), epoch=EPOCH), lacks),
        reject("more than was signed", said(ALICE, Kind.CHEQUE, changed(good, 2, one.cumulative + 1)), lacks),
        reject("a later end than was signed", said(ALICE, Kind.CHEQUE, changed(good, 1, UNTIL + 1)), lacks),
        reject("signature of another message", forged(CHEQUE_RECORD), "bad signature"),
        _unknown(CHEQUE_RECORD),
    ]


def _payments() -> list[Case]:
    good: list[object] = [DAVE.key, 1_400_000, b""]
    bad: list[tuple[str, object, str]] = [
        ("no debtor", changed(good, 0, None), "debtor: not a byte string"),
        ("nothing", changed(good, 1, 0), "amount: nothing"),
        ("more than 2^40", changed(good, 1, AMOUNT_MAX + 1), f"amount: above {AMOUNT_MAX}"),
        ("a reference of 33 bytes", changed(good, 2, bytes(33)), "reference: longer than 32 bytes"),
        ("two items", good[:2], "payment: not 3 items"),
    ]
    return [
        judged("a client has paid 1.40", PAYMENT_RECORD.data),
        judged("without a reference", said(ALICE, Kind.PAYMENT, good).data),
        judged("by a peer that nobody knows", said(CAROL, Kind.PAYMENT, good).data),
        *_malformed(Kind.PAYMENT, bad),
        reject("to itself", said(ALICE, Kind.PAYMENT, changed(good, 0, ALICE.key)), "a peer cannot pay itself"),
        reject("signature of another message", forged(PAYMENT_RECORD), "bad signature"),
        _unknown(PAYMENT_RECORD),
    ]


def definitions() -> list[Case]:
    """Definitions with a tariff."""
    good, tariff = PAID.to_value(), TARIFF.to_value()
    unlined = replace(NETWORK, tariff=TARIFF)
    curves: list[tuple[str, object, str]] = [
        ("a curve without points", [], "rows_curve: no points"),
        ("nine points", [[x, 0] for x in range(9)], "rows_curve: more than 8 items"),
        ("points out of order", [[1, 0], [0, 0]], "rows_curve: not ascending"),
        ("one point twice", [[1, 0], [1, 5]], "rows_curve: not ascending"),
        ("more than 1000 permille", [[1, 1001]], "rows_curve permille: above 1000"),
    ]
    bad: list[tuple[str, object, str]] = [
        ("a tariff of nine items", tariff[:9], "tariff: not 10 items"),
        ("no unit", changed(tariff, 0, ""), "unit: not a printable name"),
        ("a unit of two lines", changed(tariff, 0, "a\nb"), "unit: not a printable name"),
        ("a unit of 17 bytes", changed(tariff, 0, "x" * 17), "unit: longer than 16 bytes"),
        ("a price of 2^32", changed(tariff, 1, 2**32), "answer: above 4294967295"),
        ("pay that never waits", changed(tariff, 5, 0), "vest_epochs and limit are at least 1"),
        ("no limit", changed(tariff, 6, 0), "vest_epochs and limit are at least 1"),
        ("a limit above 2^40", changed(tariff, 6, AMOUNT_MAX + 1), f"limit: above {AMOUNT_MAX}"),
        *((comment, changed(tariff, 7, curve), why) for comment, curve, why in curves),
        ("a base above the whole", changed(tariff, 9, 1001), "base_permille: above 1000"),
    ]
    free = replace(TARIFF, answer=0, audit=0, vote=0, dissent=0, base_permille=0)
    return [
        defined("a tariff and a line", PAID.encode()),
        defined("a tariff and no line", unlined.encode()),
        defined("a tariff by which nothing is paid", replace(NETWORK, tariff=free).encode()),
        *(defined(comment, encode([*good[:9], each]), why) for comment, each, why in bad),
        defined("no tariff where one must be", encode([*good[:9], None]), "tariff: not an array"),
        defined(
            "no lines and no tariff, in a definition of nine items",
            encode([*good[:8], []]),
            "a definition without lines has no item for them",
        ),
    ]


# ---------------------------------------------------------------- settlement


def _hex(parts: dict[bytes, int]) -> dict[str, int]:
    return {key.hex(): part for key, part in sorted(parts.items())}


KEYS = [sha256(b"%d" % number) for number in range(4)]


def _arithmetic() -> list[Case]:
    curve, late = TARIFF.rows_curve, TARIFF.late_curve
    points = [(curve, x) for x in (0, 1, 19, 20, 21, 99, 100, 2**40)] + [(late, x) for x in (0, 2, 3, 4, 99)]
    found: list[Case] = [
        {
            "comment": f"a curve of {len(of)} points that {'falls' if of is late else 'rises'}, at {x}",
            "input": {"points": [list(point) for point in of], "x": x},
            "expect": curve_at(of, x),
            "reason": None,
        }
        for of, x in points
    ]
    for comment, total, weights in (
        ("a part each", 6, (1, 1, 1, 0)),
        ("what is left goes to the greatest remainders", 100, (3, 3, 1, 9)),
        ("ties go to the lesser key", 5, (1, 1, 1, 1)),
        ("no weights", 7, (0, 0, 0, 0)),
        ("great numbers", 2**62 - 1, (2**62, 2**61 + 1, 3, 2**60)),
    ):
        given = dict(zip(KEYS, weights, strict=True))
        inputs = {"total": total, "weights": _hex(given)}
        found.append({"comment": comment, "input": inputs, "expect": _hex(apportion(total, given)), "reason": None})
    for comment, amounts in (
        ("nobody owes", (0, 0, 0, 0)),
        ("one pays all", (-6, 1, 2, 3)),
        ("a chain", (-5, 3, -4, 6)),
        ("equal amounts, by key", (-2, -2, 2, 2)),
    ):
        balances = dict(zip(KEYS, amounts, strict=True))
        transfers = [[each.debtor.hex(), each.creditor.hex(), each.amount] for each in netting(balances)]
        found.append({"comment": comment, "input": {"balances": _hex(balances)}, "expect": transfers, "reason": None})
    found.append(
        {
            "comment": "amounts that do not sum to 0",
            "input": {"balances": {KEYS[0].hex(): 1}},
            "expect": "refuse",
            "reason": "balances that do not sum to 0 cannot be made even",
        }
    )
    return found


def _facts(epoch: int, *, convicted: tuple[int, ...] = (), **more: Any) -> dict[str, Any]:
    names = [key.hex() for key in KEYS[:3]]
    out = [names[number] for number in convicted]
    alive = [name for name in names if name not in out]
    facts = {"base": alive, "rows": names, "weighted": alive, "had_weight": names, "convicted": out}
    return {"epoch": epoch, **facts, **more}


def _page() -> dict[str, Any]:
    """The example of the page: prices of 10 and 4, an audit of one peer by another, and a third one that idles."""
    a, b = (key.hex() for key in KEYS[:2])
    tariff = {**asdict(TARIFF), "answer": 10, "audit": 4, "vest_epochs": 1}
    return {"tariff": tariff, "cuts": [_facts(1, earned=[["audit", a], ["answer", b]]), _facts(2)]}


def _client(panel: int, every: int) -> dict[str, Any]:
    """A client of a hundred requests at 0.01 each, and what peers put on the ledger of its cheques."""
    plan = CheckPlan(100, 10_000, panel, every)
    peers, client = [sha256(b"peer %d" % number).hex() for number in range(5)], sha256(b"client").hex()
    answers = [100, *[plan.checks] * (panel - 1)]
    assert plan.fee * sum(answers) == plan.cost
    cheques = [[peer, client, 1000, plan.fee * count, count] for peer, count in zip(peers, answers, strict=False)]
    facts = {"base": peers, "rows": peers, "weighted": peers, "had_weight": peers, "convicted": []}
    return {"tariff": asdict(TARIFF), "cuts": [{"epoch": 1, **facts, "cheques": cheques}, {"epoch": 10, **facts}]}


def _refund() -> dict[str, Any]:
    """A creditor that is convicted before a cheque has vested, and one that vested before."""
    a, b = (key.hex() for key in KEYS[:2])
    client = sha256(b"client").hex()
    return {
        "tariff": asdict(TARIFF),
        "cuts": [
            _facts(1, earned=[["answer", a], ["answer", b]], cheques=[[a, client, 1000, 900, 1]]),
            _facts(8, cheques=[[a, client, 1000, 1_500, 2], [a, client, 1000, 1_200, 3]]),
            _facts(10, earned=[["dissent", a], ["answer", a]]),
            _facts(11, convicted=(0,), earned=[["answer", a]], payments=[[a, client, 901], [a, client, 900]]),
        ],
    }


def _story(comment: str, story: dict[str, Any], reason: str | None = None) -> Case:
    """A story with what each cut leaves. With a reason, one of its records does not count."""
    expect = stories.play(story)
    assert expect == second.play(story)
    refused = [why for cut in expect for why in cut["refused"]]
    assert (not refused) if reason is None else reason in refused, f"{comment}: {refused}"
    return {"comment": comment, "input": story, "expect": expect, "reason": reason}


def _alone(comment: str, reason: str, **records: Any) -> Case:
    """A story whose last cut has a record that does not count."""
    a, b = (key.hex() for key in KEYS[:2])
    before: dict[str, Any] = {"pledges": [[0, a, 1000, 1, 2]], "cheques": [[b, a, 100, 500, 5]]}
    return _story(comment, {"tariff": asdict(TARIFF), "cuts": [_facts(1, **before), _facts(2, **records)]}, reason)


def _stories() -> list[Case]:
    a, b, c, d = (key.hex() for key in KEYS)
    limit = TARIFF.limit
    rounds = [
        {
            "line": 0,
            "number": 1,
            "gain": 12_000,
            "gain_min": 100,
            "gain_full": 20_000,
            "contributions": [[a, 5_000, 90, 0], [b, 9_000, 60, 0], [c, -4_000, 200, 3], [d, 9_000, 200, 0]],
        }
    ]
    pledged = [_facts(1, pledges=[[0, c, 100_000, 1, 2]]), _facts(3, rounds=rounds), _facts(12), _facts(13)]
    many = [[b, a, 200 + number, 1, 1] for number in range(64)]
    lines = [[1, (sha256(b"sponsor %d" % number)).hex(), 1, 1, 1] for number in range(9)]
    sponsors = [each[1] for each in lines]
    crowd = {
        **_facts(2, pledges=lines),
        "base": sponsors,
        "rows": sponsors,
        "weighted": sponsors,
        "had_weight": sponsors,
    }
    return [
        _story("the example of the page", _page()),
        _story("one peer for each answer: 1.00", _client(1, 10)),
        _story("five peers for each answer: 5.00", _client(5, 1)),
        _story("five peers for one answer in ten: 1.40", _client(5, 10)),
        _story("a round that is paid", {"tariff": asdict(TARIFF), "cuts": pledged}),
        *(_random(seed, reasons=False) for seed in (3, 5)),
        _story("a refund by a conviction, and a payment of more than is owed", _refund(), "more than is owed"),
        _alone("a cheque of a creditor without weight", "author has no weight", cheques=[[d, a, 100, 1, 1]]),
        _alone("a cheque after its series", "its series is over", cheques=[[a, d, 1, 5, 1]]),
        _alone("a series without an end", "its series ends too late", cheques=[[a, d, 2**20 + 3, 5, 1]]),
        _alone("a smaller cheque with a greater number", "a greater one is known", cheques=[[b, a, 100, 499, 6]]),
        _alone("65 series", "author has too many series", cheques=many),
        _alone("a second pledge of a line", "author has one for the line", pledges=[[0, a, 1, 9, 9]]),
        _alone("a pledge beyond the limit", "more than author may owe", pledges=[[1, a, limit - 1_999, 1, 1]]),
        _story(
            "nine pledges of one line",
            {"tariff": asdict(TARIFF), "cuts": [{**crowd, "pledges": lines}]},
            "line has too many",
        ),
        *(_random(seed, reasons=True) for seed in (1, 2)),
    ]


def _random(seed: int, *, reasons: bool) -> Case:
    """A random story, with all of its refusals or without the records that are refused."""
    story = {**stories.random_story(random.Random(seed), 10), "tariff": stories.NARROW}
    if reasons:
        refused = [why for cut in stories.play(story) for why in cut["refused"]]
        return _story(f"everything at once, {seed}", story, refused[0])
    for cut in story["cuts"]:
        cut["pledges"], cut["cheques"], cut["payments"] = [], cut["cheques"][:0], []
    return _story(f"work, dissents and convictions, {seed}", story)


def cases() -> dict[Path, list[Case]]:
    told = _stories()
    return {
        Path("pledge"): _pledges(),
        Path("cheque"): _cheques(),
        Path("payment"): _payments(),
        Path("settle/arithmetic.json"): _arithmetic(),
        Path("settle/valid.json"): [each for each in told if each["reason"] is None],
        Path("settle/invalid.json"): [each for each in told if each["reason"] is not None],
    }
