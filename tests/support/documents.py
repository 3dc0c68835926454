"""Whole documents of a node about itself and its network. Tests change them with `dataclasses.replace`."""

from dataclasses import replace

from p2pverify.node.data.documents import DatasetDocument, DatasetsDocument
from p2pverify.node.lines.documents import (
    FetchDocument,
    LineDocument,
    LinesDocument,
    OwnVersion,
    ParentDocument,
    RecallDocument,
    ReleaseDocument,
    ServerDocument,
    VersionDocument,
    VersionFile,
    VersionsDocument,
)
from p2pverify.node.reports.documents.audits import (
    AskedPeerDocument,
    AuditDocument,
    AuditsDocument,
    DisputeDocument,
)
from p2pverify.node.reports.documents.blobs import BlobDocument, BlobsDocument
from p2pverify.node.reports.documents.explained import ExplainedAudit
from p2pverify.node.reports.documents.me import MeDocument, OwnFigures, PeerFigures
from p2pverify.node.reports.documents.passport import PassportDocument
from p2pverify.node.reports.documents.peers import NeighbourDocument, PeersDocument
from p2pverify.node.reports.documents.receipt import (
    CHECKED,
    AskedQuestion,
    ClientAnswer,
    FullCheckDocument,
    ReceiptDocument,
)
from p2pverify.node.reports.documents.scores import ScoreDocument, ScoresDocument
from p2pverify.node.reports.documents.status import Due, FinalCutDocument, JobsDocument, ReachDocument, StatusDocument
from p2pverify.node.settle.documents import (
    AccountDocument,
    AccountsDocument,
    BillDocument,
    ChequeDocument,
    ChequesDocument,
    MovementDocument,
    MovementsDocument,
    TabDocument,
)
from p2pverify.node.training.documents import (
    ClosedRoundDocument,
    ContributionDocument,
    OpenRoundDocument,
    RoundsDocument,
    TrainedLineDocument,
)

ALICE = "12D3KooWSP57aGZQFeT62guhLo4JtDYJdYxtewsz9NaJaCuCz2YY"
ROOT = "ab" * 32
ROW = ScoreDocument(
    peer_id=ALICE,
    class_="avx2",
    standing="trusted",
    reason=None,
    weight=1,
    low=0.912345,
    high=1.0,
    audits=40,
    agreements=40,
    dissents=0,
    challengers=5,
    last_audit_epoch=11,
    availability=1.0,
    no_shows=0,
    slots_owed=12,
    unopened=0,
    cusum=0,
    threshold=9000,
    long_cusum=0,
    long_threshold=11130,
    judged=0,
    capital=-710,
    capital_threshold=16278,
    convicted_epoch=None,
    convicted_after_audits=None,
    conviction="",
    fork_until_epoch=None,
    contested_by=(),
    rerun=None,
    sponsors=(),
    rests=False,
    hardware=None,
)
CONVICTED_ROW = replace(
    ROW,
    peer_id="bob",
    standing="convicted",
    weight=0,
    low=0.0,
    high=0.31,
    audits=7,
    agreements=3,
    dissents=4,
    challengers=3,
    no_shows=1,
    last_audit_epoch=None,
)
NO_MONEY = AccountDocument(
    peer=None,
    vested=0,
    escrow=0,
    answers=0,
    audits=0,
    votes=0,
    training=0,
    forfeited=0,
    claims=0,
    indebted=False,
)
MOVEMENTS_OF_POOL = MovementsDocument(
    schema="p2pverify/movements/1",
    network="00" * 32,
    unit="credit",
    cut="11" * 32,
    before=NO_MONEY,
    account=replace(NO_MONEY, vested=-10),
    movements=(
        MovementDocument(
            cut="11" * 32, epoch=7, part="vested", amount=-10, reason="answer", slot=None, record="22" * 32
        ),
    ),
)
CHEQUES = ChequesDocument(
    schema="p2pverify/cheques/1",
    network="00" * 32,
    unit="credit",
    price=10_000,
    cheques=(ChequeDocument(debtor=ALICE, until=2047, cumulative=30_000, count=2, signature="33" * 64, known=10_000),),
    tabs=(TabDocument(client=ALICE, uncovered=20_000, owed=50_000),),
    bills=(BillDocument(creditor=ALICE, due=10_000, until=2047, cumulative=40_000, told=30_000),),
)
ACCOUNTS = AccountsDocument(
    schema="p2pverify/accounts/1",
    network="00" * 32,
    unit="credit",
    final=True,
    cut="11" * 32,
    epoch=7,
    sum=0,
    accounts=(
        AccountDocument(
            peer=None,
            vested=-10,
            escrow=0,
            answers=0,
            audits=0,
            votes=0,
            training=0,
            forfeited=0,
            claims=0,
            indebted=False,
        ),
        AccountDocument(
            peer=ALICE,
            vested=-4,
            escrow=14,
            answers=10,
            audits=4,
            votes=0,
            training=0,
            forfeited=0,
            claims=0,
            indebted=False,
        ),
    ),
)
DATASETS = DatasetsDocument(
    schema="p2pverify/datasets/1",
    network="00" * 32,
    final=True,
    cut="11" * 32,
    epoch=7,
    datasets=(
        DatasetDocument(
            id="22" * 32,
            owner=ALICE,
            root="33" * 32,
            rows=99,
            row_schema="44" * 32,
            licence="CC-BY-4.0",
            basis="consent",
            parents=("55" * 32,),
            recipe=None,
            card="66" * 32,
            first_root="77" * 32,
            first_rows=100,
            from_epoch=3,
            until_epoch=900,
            erasures=1,
            erased=1,
        ),
    ),
)
SCORES = ScoresDocument(
    schema="p2pverify/scores/1",
    network=ROOT,
    final=True,
    cut="cd" * 32,
    epoch=12,
    scores=(ROW, CONVICTED_ROW),
    hardware=(),
)
JOBS = JobsDocument(
    jobs_waiting=0,
    oldest_waiting_ms=0,
    jobs_done=0,
    jobs_failed=0,
    jobs_late=0,
    jobs_dropped=0,
    dropped_requests=0,
    dropped_votes=0,
    dropped_audits=0,
    engine_busy_ms=0,
)
STATUS = StatusDocument(
    schema="p2pverify/status/1",
    peer_id=ALICE,
    network=ROOT,
    network_name="mesh \x1b[31m\nred",
    epoch=12,
    epoch_s=10.0,
    model="toy",
    class_="toy",
    engine="toy/1",
    uptime_s=3700,
    addresses=("/ip4/192.0.2.1/tcp/4747",),
    reach=ReachDocument(
        state="relayed",
        why="it listens nowhere, and one relay takes its connections",
        advice="give an address with --listen",
        asked=0,
        reached=0,
        relays=("/ip4/192.0.2.9/tcp/4747/p2p/carol/p2p-circuit/p2p/alice",),
        serves=0,
        mapped="",
    ),
    neighbours=7,
    records=1234,
    standing="trusted",
    own=ROW,
    ready=False,
    reasons=("no neighbours",),
    final=FinalCutDocument(cut="cd" * 32, epoch=11, index=3, ledger_root=ROOT, view_root=ROOT),
    final_age_s=5,
    next_cut=Due(epoch=12, due_s=0),
    first_score=None,
    weight=1,
    way_to_weight=None,
    recent_cuts=(),
    quiet=False,
    jobs=JOBS,
)
NEIGHBOUR = NeighbourDocument(
    peer_id="bob", address="/ip4/192.0.2.2/tcp/4747/p2p/bob", outbound=True, in_mesh=True, standing=None
)
BLOBS = BlobsDocument(
    schema="p2pverify/blobs/1",
    serves=True,
    bytes=300,
    quota_bytes=20_000_000_000,
    blobs=(
        BlobDocument(
            sha256="a1" * 32, path="model.gguf", bytes=98_000_000, whole=True, pinned=True, own=True, served=True
        ),
        BlobDocument(sha256="b2" * 32, path=None, bytes=300, whole=False, pinned=False, own=False, served=False),
    ),
)
PEERS = PeersDocument(schema="p2pverify/peers/1", peers=())
AUDIT = AuditDocument(
    id="e3-1-alice",
    challenger="alice",
    epoch=3,
    slot=1,
    across=True,
    differ=True,
    asked=(AskedPeerDocument(peer_id="bob", answered=True), AskedPeerDocument(peer_id="carol", answered=False)),
    status="disputed",
)
DISPUTE = DisputeDocument(
    id="e3-1-alice",
    challenger="alice",
    epoch=3,
    slot=1,
    status="decided",
    opened_epoch=4,
    electorate=8,
    commits=8,
    votes=7,
    decision=ROOT,
    losers=("bob",),
    rerun="confirmed",
)
AUDITS = AuditsDocument(schema="p2pverify/audits/1", audits=(AUDIT,), disputes=(DISPUTE,))
EXPLAINED = ExplainedAudit(
    schema="p2pverify/audit/1",
    **vars(AUDIT),
    complete=False,
    notes=(),
    judge=None,
    question=None,
    answers=(),
    dispute=None,
    report=None,
)
PASSPORT = PassportDocument(
    schema="p2pverify/passport-document/1",
    peer_id=ALICE,
    network=ROOT,
    cut="cd" * 32,
    epoch=12,
    passport="88f6",
)
ANSWER = ClientAnswer(
    index=0,
    peer_id=ALICE,
    own=False,
    standing="trusted",
    low=0.912345,
    high=1.0,
    audits=40,
    class_="avx2",
    cut="cd" * 32,
    cut_epoch=12,
    question=AskedQuestion(
        id=ROOT,
        manifest=ROOT,
        prompt=(1, 104, 105, 2),
        tokens_max=8,
        temperature_milli=0,
        seed="00" * 16,
        requester=ALICE,
    ),
    tokens=(104, 111),
    finish="stop",
    logits=ROOT,
    text="ho",
    request="00",
    response="00",
    passport=None,
    receipt_token_count=2,
    queue_ms=0,
    first_token_ms=1,
    total_ms=2,
    elapsed_ms=3,
    checked=CHECKED,
    returned=True,
    compared=None,
)
RECEIPT = ReceiptDocument(
    schema="p2pverify/client-receipt/1",
    id="rcpt_" + "0a" * 16,
    state="answered",
    network=ROOT,
    model="toy",
    endpoint="chat.completions",
    created_ms=1,
    finished_ms=2,
    panel=1,
    every=10,
    checks=(),
    answers=(ANSWER,),
    events=(),
)
CHECKED_RECEIPT = replace(
    RECEIPT,
    panel=5,
    every=1,
    checks=(FullCheckDocument(index=0, panel=5, answers=5, agree=3, differ=1, not_compared=1, majority=True),),
    answers=(
        replace(ANSWER, compared="agrees"),
        *(
            replace(ANSWER, peer_id="bob", returned=False, compared=told)
            for told in ("agrees", "agrees", "differs", "not compared")
        ),
    ),
)

OWN_FIGURES = OwnFigures(
    network_low=0.98,
    network_high=1.0,
    network_audits=900,
    network_wrong=3,
    audits=214,
    wrong=0,
    unclear=1,
    at_most=0.013901,
    value=0,
    accused=False,
    accused_after=None,
    chance=0.6,
)
ME = MeDocument(
    schema="p2pverify/me/1",
    peer_id=ALICE,
    audit_rate=0.1,
    all=OWN_FIGURES,
    peers=(PeerFigures(peer_id=ALICE, standing="trusted", figures=OWN_FIGURES),),
)

LINE = LineDocument(
    index=0,
    name="tiny",
    genesis="a0" * 32,
    publishers=(ALICE,),
    threshold=1,
    struck=(),
    rotations=0,
    notice_epochs=2,
    overlap_epochs=4,
    recall_epochs=3,
    current=1,
    newest=3,
    own=True,
)
LINES = LinesDocument(schema="p2pverify/lines/1", network=ROOT, cut="cd" * 32, epoch=12, lines=(LINE,))
ROUNDS = RoundsDocument(
    schema="p2pverify/rounds/1",
    network=ROOT,
    cut="cd" * 32,
    epoch=12,
    lines=(
        TrainedLineDocument(
            line="tiny",
            trainer="tabular-sgd/1",
            mode="held-out",
            rounds=6,
            decided=1,
            newest=3,
            houses_needed=2,
            houses_ready=2,
            quarantined=(),
            open=OpenRoundDocument(
                number=3,
                base=1,
                phase="sealing",
                opened_epoch=11,
                expected=(ALICE, "bob"),
                sealed=(ALICE,),
                opened=(),
                electorate=0,
                votes_sealed=0,
                votes_opened=0,
                own="train, and seal the update",
            ),
            closed=(
                ClosedRoundDocument(
                    number=1,
                    base=0,
                    version=1,
                    decided=True,
                    epoch=6,
                    gain=41_250,
                    agreed=4,
                    voters=5,
                    contributions=(
                        ContributionDocument(
                            peer_id=ALICE,
                            finding="right",
                            credit=30_100,
                            marked=False,
                            rows=44,
                            late=0,
                            dataset="d5" * 32,
                        ),
                        ContributionDocument(
                            peer_id="bob", finding="unseen", credit=0, marked=False, rows=44, late=1, dataset="d6" * 32
                        ),
                    ),
                ),
                ClosedRoundDocument(
                    number=2,
                    base=1,
                    version=None,
                    decided=False,
                    epoch=10,
                    gain=0,
                    agreed=0,
                    voters=0,
                    contributions=(),
                ),
            ),
        ),
    ),
)
VERSION_0 = VersionDocument(
    number=0,
    manifest="a0" * 32,
    record=None,
    model="tiny Q4_1",
    quantisation="Q4_1",
    licence="Apache-2.0",
    weights="b0" * 32,
    status="overlap",
    announced_epoch=None,
    current_from_epoch=0,
    ends_epoch=15,
    recalled=None,
    tainted=False,
    how="initial",
    round=None,
    recipe=None,
    parents=(),
    grade="claimed",
    signers=(),
    oms=None,
    files=(),
    servers=(ServerDocument(peer_id=ALICE, class_="avx2", standing="trusted", weight=1, behind=False),),
    weight=1,
    here=True,
    missing=None,
    thin=True,
)
VERSION_1 = replace(
    VERSION_0,
    number=1,
    manifest="a1" * 32,
    record="c1" * 32,
    model="tiny Q5_0",
    quantisation="Q5_0",
    weights="b1" * 32,
    status="current",
    announced_epoch=9,
    current_from_epoch=11,
    ends_epoch=None,
    how="quantise",
    recipe="quantised to q5_0",
    parents=(ParentDocument(manifest="a0" * 32, line="tiny", number=0),),
    signers=(ALICE,),
    files=(VersionFile(path="tiny.gguf", bytes=1000, sha256="b1" * 32),),
    servers=(),
    weight=0,
    here=False,
    missing="this machine does not have its weights",
    thin=False,
)
VERSION_2 = replace(
    VERSION_1,
    number=2,
    manifest="a2" * 32,
    status="recalled",
    recalled=RecallDocument(epoch=11, reason="defective"),
    how="fine_tune",
    recipe=None,
    parents=(ParentDocument(manifest="ff" * 32, line=None, number=None),),
)
VERSIONS = VersionsDocument(
    schema="p2pverify/versions/1",
    network=ROOT,
    cut="cd" * 32,
    epoch=12,
    line=LINE,
    versions=(VERSION_0, VERSION_1, VERSION_2),
)
RELEASE_BYTES = ReleaseDocument(schema="p2pverify/release/1", line="tiny", number=0, release=None, manifest="88f6")
FETCH = FetchDocument(
    schema="p2pverify/fetch/1",
    line="tiny",
    number=1,
    state="fetching",
    file="tiny.gguf",
    done=250,
    bytes=1000,
    sources=2,
    reason=None,
)
OWN_VERSION = OwnVersion(
    line="tiny",
    number=0,
    status="overlap",
    behind=False,
    current=1,
    current_here=False,
    follows=False,
    announced=None,
    announced_from_epoch=None,
)
