"""One small, consistent history for the valid vectors and the examples of the pages.

Three founders join, and Bob's cut makes this final. Alice owes slots in epoch 12, drawn from the members of that cut.
In one of them Carol's answer differs, so there is a dispute to vote on. All keys are test keys.
"""

from dataclasses import dataclass, replace

from p2pverify.core.contract import sortition
from p2pverify.core.contract.classes import ANY, Across, DeterminismClass
from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.network import Network, Params
from p2pverify.core.contract.output import Output
from p2pverify.core.contract.pool import Line, Pool
from p2pverify.core.encoding import sign, vrf
from p2pverify.core.encoding.canon import encode, sha256
from p2pverify.core.inference.compare import Measure
from p2pverify.core.inference.question import (
    Opening,
    Question,
    Receipt,
    Request,
    opening_nonce,
    salted_digest,
)
from p2pverify.core.records.envelope import NO_PREV, Kind, Record, make_record
from p2pverify.core.records.payloads.audit import AskedPeer, Audit, sealed_measures
from p2pverify.core.records.payloads.cut import Cut, CutSignature
from p2pverify.core.records.payloads.duty import Duty
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.records.payloads.vote import Commit, Vote, vote_commit
from p2pverify.core.replica.fold import Fold
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.state.state import State
from p2pverify.core.state.view import score_rows, view_head

EPOCH = 12


@dataclass(frozen=True, slots=True)
class Peer:
    """A test peer: both keys come from one obvious seed."""

    name: str
    seed: bytes

    @property
    def key(self) -> bytes:
        return sign.public_key(self.seed)

    @property
    def vrf_seed(self) -> bytes:
        return vrf.derive_seed(self.seed)

    @property
    def vrf_key(self) -> bytes:
        return vrf.public_key(self.vrf_seed)


ALICE = Peer("alice", bytes(range(32)))
BOB = Peer("bob", bytes(range(32, 64)))
CAROL = Peer("carol", bytes(range(64, 96)))
DAVE = Peer("dave", bytes(range(96, 128)))
PEERS = (ALICE, BOB, CAROL)

MANIFEST = Manifest(
    "example-135m",
    sha256(b"weights"),
    sha256(b"tokenizer"),
    sha256(b"template"),
    "q8_0",
    "Apache-2.0",
    "trained on public web text",
    None,
)

ACROSS = Across(
    match_base=250_000,
    match_slope=20_000,
    mismatch_base=500_000,
    mismatch_slope=40_000,
    end_max=2_000_000,
    honest_ppm=10_000,
    pool=Pool(850_000, (Line(250_000, 20_000, 12_000), Line(500_000, 40_000, 2_400))),
)
NETWORK = Network(
    "example",
    tuple(sorted(peer.key for peer in PEERS)),
    (MANIFEST.digest,),
    (
        DeterminismClass("example-avx2", MANIFEST.digest, "llama.cpp 9637", "x86-64 avx2, one thread", 1_000, ACROSS),
        DeterminismClass("example-cuda", MANIFEST.digest, "llama.cpp 9637", "cuda sm_90", 10_000),
        DeterminismClass("example-any", MANIFEST.digest, ANY, ANY, 1_000, ACROSS),
    ),
    Params(
        genesis_ms=1_767_225_600_000,
        epoch_ms=60_000,
        slots_milli=3_500,
        panel_size=2,
        prompt_tokens=4,
        answer_tokens=8,
        temperature_milli=800,
        greedy_percent=25,
        anchor_lag=2,
        anchor_window=8,
        duty_epochs=8,
        dispute_epochs=16,
        disputes_per_cut=8,
        spot_check_permille=100,
        fork_epochs=64,
        cheat_ppm=100_000,
        conviction_odds=1_000_000,
        weight_changes_per_cut=1,
        growth_epochs=525_600,
        tenure_epochs=10_107,
        rest_epochs=16_384,
        across_percent=25,
        long_permille=100,
        long_tokens=62,
    ),
    "exact/1",
)
NETWORK_ID = NETWORK.id


def record(
    peer: Peer,
    kind: Kind,
    payload: bytes,
    *,
    epoch: int = EPOCH + 1,
    seq: int = 7,
    prev: bytes | None = None,
    network: bytes = NETWORK_ID,
) -> Record:
    """A signed record in the middle of a log by default."""
    before = NO_PREV if seq == 0 else sha256(b"the record before")
    return make_record(
        peer.seed,
        peer.key,
        network,
        epoch=epoch,
        seq=seq,
        prev=before if prev is None else prev,
        kind=kind,
        payload=payload,
    )


def join(peer: Peer, class_index: int = 0) -> Record:
    return record(peer, Kind.JOIN, Join(class_index, peer.vrf_key).encode(), epoch=9, seq=0)


def first_cut() -> Cut:
    """Bob's proposal on the network: all three have joined."""
    ledger = Ledger()
    fold = Fold(NETWORK, ledger)
    for peer in PEERS:
        for added in ledger.add(join(peer)):
            fold.take(added)
    alpha = sortition.propose_alpha(NETWORK_ID, 10, sortition.first_beacon(NETWORK_ID))
    proof = vrf.prove(BOB.vrf_seed, alpha)
    cut = Cut(10, NETWORK_ID, BOB.vrf_key, proof, tuple(ledger.moved({})), bytes(32), bytes(32), bytes(32))
    filled = fold.propose(cut, BOB.key)
    assert filled is not None
    return filled


def first_state() -> State:
    """The state at that cut."""
    ledger = Ledger()
    fold = Fold(NETWORK, ledger)
    for each in (*(join(peer) for peer in PEERS), CUT_RECORD):
        for added in ledger.add(each):
            fold.take(added)
    state = fold.state(CUT_RECORD.id)
    assert state is not None
    return state


def first_view() -> tuple[bytes, bytes]:
    """The canonical view at that cut, and its first score row."""
    state = first_state()
    return encode(view_head(NETWORK, state).to_value()), score_rows(NETWORK, state)[0]


CUT = first_cut()
CUT_RECORD = record(BOB, Kind.CUT, CUT.encode(), epoch=10, seq=1, prev=join(BOB).id)
CUT_SIGNATURE = record(
    CAROL, Kind.CUT_SIGNATURE, CutSignature(CUT_RECORD.id).encode(), epoch=10, seq=1, prev=join(CAROL).id
)
BEACON = sortition.next_beacon(sortition.first_beacon(NETWORK_ID), vrf.proof_to_beta(CUT.proof))
PROOF = vrf.prove(ALICE.vrf_seed, sortition.duty_alpha(NETWORK_ID, EPOCH, BEACON))
BETA = vrf.proof_to_beta(PROOF)
SLOTS = sortition.slots(BETA, NETWORK.params)
CANDIDATES = tuple(sorted(peer.key for peer in (BOB, CAROL)))
RIGHT = (101, 102, 103, 104)
WRONG = (101, 102, 999)
LOGITS = sha256(b"rows of logits")


def peer_of(key: bytes) -> Peer:
    return next(peer for peer in (*PEERS, DAVE) if peer.key == key)


def question_of(slot: sortition.Slot) -> Question:
    """The question with the prompt that the model would have written from the slot's seed."""
    prompt = tuple(int.from_bytes(slot.prompt_seed[at : at + 2], "big") for at in range(0, 8, 2))
    temperature = 0 if slot.greedy else NETWORK.params.temperature_milli
    return Question(MANIFEST.digest, prompt, 8, temperature, slot.sample_seed, ALICE.key)


def salt(*parts: object) -> bytes:
    return sha256(encode(["test salt", *parts]))


def opening_of(slot: sortition.Slot, targets: tuple[bytes, ...]) -> Opening:
    output = Output(RIGHT, "stop", LOGITS).digest(question_of(slot).id)
    return Opening(slot.index, 0, output, tuple(salt(slot.index, target) for target in targets))


def receipt(
    peer: Peer, request: Request, tokens: tuple[int, ...], *, class_index: int = 0, finish: str = "stop"
) -> Receipt:
    """A signed receipt for an answer."""
    output = Output(tokens, finish, LOGITS).digest(request.question)
    salted = salted_digest(request.id, peer.key, class_index, output)
    fields = (NETWORK_ID, peer.key, request.id, class_index, salted, len(tokens), 3, 41, 187)
    unsigned = Receipt(*fields, bytes(64))
    return Receipt(*fields, sign.sign(peer.seed, encode(unsigned.signed_value())))


def audit_of(
    slot: sortition.Slot, *, liar: Peer | None = None, silent: Peer | None = None, differ: bool | None = None
) -> Audit:
    """Alice's audit of an owed slot."""
    targets = sortition.targets(BETA, slot, CANDIDATES, NETWORK.params)
    question, opening = question_of(slot), opening_of(slot, targets)
    asked = []
    for which, key in enumerate(targets):
        peer = peer_of(key)
        nonce = opening_nonce(NETWORK_ID, ALICE.key, key, EPOCH, question.id, opening, which)
        request = Request(NETWORK_ID, ALICE.key, key, question.id, nonce, EPOCH + 4)
        answer = receipt(peer, request, WRONG if peer is liar else RIGHT)
        asked.append(AskedPeer(key, nonce, None) if peer is silent else AskedPeer(key, nonce, answer, 190))
    lied = liar is not None and liar.key in targets
    shown = lied if differ is None else differ
    return Audit(ALICE.key, EPOCH, slot.index, CUT_RECORD.id, question.id, EPOCH + 4, shown, tuple(asked))


PANEL_SLOT = next(slot for slot in SLOTS if not slot.solo)
SOLO_SLOT = next(slot for slot in SLOTS if slot.solo)
AGREED = audit_of(SOLO_SLOT)
DISPUTED = audit_of(PANEL_SLOT, liar=CAROL)
#: Measures of a right answer, and of an answer that is not the model's.
MEASURES = (Measure(4, 1_830, 1_700, 410), Measure(3, 5_120_400, 5_119_000, 12_300))
ACROSS_AUDIT = replace(
    DISPUTED,
    sealed=sealed_measures(
        NETWORK_ID, DISPUTED.key, DISPUTED.question, MEASURES, tuple(salt(0, a.responder) for a in DISPUTED.asked)
    ),
)
AUDIT_RECORD = record(ALICE, Kind.AUDIT, DISPUTED.encode(), epoch=EPOCH, seq=3)
DUTY = Duty(
    EPOCH,
    CUT_RECORD.id,
    BEACON,
    ALICE.vrf_key,
    PROOF,
    tuple(
        opening_of(slot, sortition.targets(BETA, slot, CANDIDATES, NETWORK.params))
        for slot in SLOTS
        if slot is not PANEL_SLOT
    ),
)
DUTY_RECORD = record(ALICE, Kind.DUTY, DUTY.encode(), seq=6)
DISPUTE = DisputeKey(ALICE.key, EPOCH, PANEL_SLOT.index)
OUTPUT = opening_of(PANEL_SLOT, ()).output
VOTE_SALT = salt("vote", "bob")
COMMIT = Commit(DISPUTE, sha256(b"a later cut"), vote_commit(NETWORK_ID, DISPUTE, BOB.key, 0, OUTPUT, VOTE_SALT))
COMMIT_RECORD = record(BOB, Kind.VOTE_COMMIT, COMMIT.encode(), epoch=14)
VOTE = Vote(DISPUTE, sha256(b"a still later cut"), 0, OUTPUT, (VOTE_SALT,))
VOTE_RECORD = record(BOB, Kind.VOTE, VOTE.encode(), epoch=15, seq=8, prev=COMMIT_RECORD.id)
