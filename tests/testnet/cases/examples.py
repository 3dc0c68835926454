"""Facts of a case that was never played: three contributors, one of which poisons, and a verifier that lies."""

from dataclasses import replace
from typing import Any

from p2pverify.testnet.cases.facts import (
    AccountFacts,
    CaseFacts,
    CheckFacts,
    EventFacts,
    LedgerFacts,
    ModelVersionFacts,
    PeerFacts,
    RoundFacts,
)

PEER = PeerFacts(
    name="peer1",
    peer_id="12D3KooWexample",
    role="hospital",
    cheat=None,
    expected=None,
    standing="trusted",
    audits=20,
    dissents=0,
    rows=71,
    credit=800,
    share=0.8,
    paid=None,
    counted=2,
    on_time=2,
    late=0.0,
    sealed=2,
    marked=0,
    quarantined=False,
    found={"right": 2},
    eps=1.5,
    eps_budget=4.0,
    alone=0.9,
    note="",
)


def peer(number: int, **changes: Any) -> PeerFacts:
    return replace(PEER, name=f"peer{number}", **changes)


POISONER = peer(2, cheat="poison-labels", expected="unpaid", credit=0, share=0.0, marked=2)
VERIFIER = peer(4, role="registry", rows=0, credit=0, share=0.0, counted=0, on_time=0, sealed=0, found={}, eps=None)
LIAR = replace(VERIFIER, cheat="stale-version", expected="convicted", standing="convicted", dissents=4)
ROUNDS = tuple(
    RoundFacts(
        number=number,
        epoch=5 * number,
        decided=True,
        gain=30_000 // number,
        version=number,
        auc=0.9 + number / 100,
        agreed=7,
        voters=8,
        repeats=None,
        stands=True,
        credit={"peer1": 400, "peer2": -90},
    )
    for number in (1, 2)
)
VERSIONS = tuple(
    ModelVersionFacts(
        number=number,
        auc=auc,
        status=status,
        tainted=number == 1,
        round=number or None,
        agreed=7 * (number > 0),
        voters=8,
    )
    for number, auc, status in ((0, 0.5, "retired"), (1, 0.91, "overlap"), (2, 0.92, "current"))
)
FACTS = CaseFacts(
    study="healthcare",
    data="wdbc",
    licence="CC-BY-4.0",
    network="ab" * 32,
    seed=1,
    epoch_ms=1500,
    rows=569,
    features=30,
    labels=("malignant", "benign"),
    test_rows=142,
    mode="held-out",
    trainer="tabular-dp/1",
    unit=None,
    central=0.99,
    alone=0.9,
    start=0.5,
    peers=(PEER, POISONER, peer(3, credit=200, share=0.2), LIAR),
    versions=VERSIONS,
    rounds=ROUNDS,
    accounts=(),
    events=(EventFacts(epoch=6, what="a patient withdrew"),),
    checks=(CheckFacts(what="two rounds are decided", found="2", holds=True),),
    ledger=LedgerFacts(records=100, bytes=9000, cut="cd" * 32, epoch=12, verified=True),
)
ACCOUNTS = tuple(
    AccountFacts(
        name=name,
        vested=vested,
        escrow=escrow,
        answers=10,
        audits=0,
        votes=0,
        training=escrow,
        forfeited=0,
        claims=0,
    )
    for name, vested, escrow in (("peer1", -1_500_000, 500_000), ("peer2", 1_200_000, 0), ("pool", -200_000, 0))
)
