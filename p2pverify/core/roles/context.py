"""The shared state of a machine's parts: keys, the ledger and its fold, own records, and jobs in flight."""

from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b

from p2pverify.core.contract.network import Network, Params
from p2pverify.core.contract.output import Ask
from p2pverify.core.counters import Counters
from p2pverify.core.encoding import box, sign, vrf
from p2pverify.core.encoding.canon import encode
from p2pverify.core.errors import GossipIgnore, GossipReject, LocalProtocolError
from p2pverify.core.events import (
    OWN,
    AskFailed,
    Compute,
    Computed,
    ComputeFailed,
    Effects,
    FetchEvidence,
    HeldModel,
    MeasureDone,
    MeasureJob,
    Persist,
    Publish,
    ResponseArrived,
    Send,
)
from p2pverify.core.inference.jobs import Purpose
from p2pverify.core.records.envelope import NO_PREV, Kind, Record, make_record
from p2pverify.core.records.floors import Floor
from p2pverify.core.records.judge import judge_payload
from p2pverify.core.records.kind_rule import Rules
from p2pverify.core.replica.base import Base, floors_of
from p2pverify.core.replica.fold import Fold
from p2pverify.core.replica.horizon import Horizon
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.replica.logs.shelf import Shelf
from p2pverify.core.replica.logs.waiting import WAITING_PER_AUTHOR_MAX
from p2pverify.core.replica.memo import Memo
from p2pverify.core.replica.silence import LEAP_MS, Silence
from p2pverify.core.settle.exchange import Pay
from p2pverify.core.state.rules.following import Following, Halt
from p2pverify.core.state.state import State

JobDone = Callable[[Computed | ComputeFailed, int], Effects[None]]
ScoreDone = Callable[[MeasureDone | ComputeFailed, int], Effects[None]]
AskDone = Callable[[ResponseArrived | AskFailed, int], Effects[None]]
SECRET = b"p2pverify/secret"
#: After this many own records in an epoch a peer waits for the next epoch. One pass may begin below and end above the
#: limit, but never reaches the ledger's RECORDS_PER_EPOCH_MAX.
OWN_RECORDS_PER_EPOCH_MAX = 2048


class Context:
    """The state that the parts of one machine share; not for use outside the machine."""

    def __init__(
        self,
        network: Network,
        seed: bytes,
        class_index: int,
        memo: Memo | None = None,
        *,
        start: State | None = None,
        base: Base | None = None,
        held: HeldModel | None = None,
        shelf: Shelf | None = None,
        forgets: bool = True,
        following: Following | None = None,
        next_key: bytes | None = None,
    ) -> None:
        self.network_id = network.id
        self.seed = seed
        self.key = sign.public_key(seed)
        self.vrf_seed = vrf.derive_seed(seed)
        self.vrf_key = vrf.public_key(self.vrf_seed)
        self.box_secret = box.derive_secret(seed)
        self.box_key = box.public_key(self.box_secret)
        self.next_key = next_key  # digest of the key that may take over from this one
        self.class_index = class_index
        #: The models that this peer's engine runs, by the digests of their manifests.
        self.held = {} if held is None else {held.manifest.digest: held}
        self.memo = memo
        self.ledger = Ledger(shelf if memo is None else memo.shelf, WAITING_PER_AUTHOR_MAX)
        self.fold = Fold(network, self.ledger, memo, start=start)
        self.horizon = Horizon(self.fold, self.key, forgets=forgets)
        self.fold.following = following or self.fold.following
        if base is not None:
            self.begin_at(base)
        self.counters = Counters(("served",))
        self.silence = Silence(network.params, self.key, self.fold)
        self.quiet_until_ms = 0  # nothing is signed earlier, because peers of the simulated world join late
        self.has_signed = False  # in this run
        self.signed_before = 0  # the disk says that own records with lower numbers were signed
        self.cannot_store = ""  # why nothing can be written to disk now, or ""
        self.is_leaving = False
        #: How far this peer has come with the row of another key; "" if it takes over none.
        self.takes_over: Callable[[], str] = lambda: ""
        self._jobs: dict[int, JobDone] = {}
        self._scores: dict[int, ScoreDone] = {}
        self._asks: dict[int, AskDone] = {}
        self._last_id = 0

    def begin_at(self, base: Base, floors: Mapping[bytes, Floor] | None = None, named: Iterable[Record] = ()) -> None:
        """Begin at a base, before any record is here: see `Fold.start_from`."""
        self.fold.start_from(base, floors, named)
        oldest, above = self.fold.kept(base.oldest), self.ledger.floors()
        is_bottom = oldest is not None and above == floors_of(oldest)
        self.horizon.begin_above(above, base.oldest if is_bottom else b"")

    @property
    def network(self) -> Network:
        """The network with the rules in force at the newest certified cut."""
        return self.fold.network

    @property
    def params(self) -> Params:
        return self.fold.network.params

    def provisional(self, now_ms: int) -> State:
        """The state from all records held here. Nothing in it is final."""
        return self.fold.provisional(self.params.epoch_at(now_ms))

    @property
    def moves_to(self) -> bytes | None:
        """The key to which this peer's row is about to move, or has moved, by the newest certified cut."""
        found = self.fold.latest.handovers.get(self.key) or self.fold.latest.moved.get(self.key)
        return None if found is None else found.successor

    @property
    def is_succeeded(self) -> bool:
        """Whether this key has nothing to sign any more: it gave its row away, and no cut needs its weight."""
        latest = self.fold.latest
        found = latest.handovers.get(self.key)
        return self.key in latest.moved or (found is not None and found.is_signed and not latest.weight_of((self.key,)))

    # ------------------------------------------------------------ own records

    def may_write(self, now_ms: int) -> bool:
        """Whether this peer may sign records: not before genesis, and not during the silence after a start.

        Also not when it has used its record quota for this epoch, or while its clock is earlier than its newest record.
        Also not if its key signs elsewhere, while an own record is missing here, or while the disk cannot be written.
        """
        if not self._is_awake(now_ms) or self.own_missing is not None or self.cannot_store:
            return False
        if self.halt(now_ms) is not None:
            return False
        newest, epoch = self.ledger.newest_epoch(self.key), self.params.epoch_at(now_ms)
        return newest is None or newest[0] < epoch or (newest[0] == epoch and newest[1] < OWN_RECORDS_PER_EPOCH_MAX)

    def halt(self, now_ms: int) -> Halt | None:
        """What keeps this peer from going on from the newest cut: rules that it cannot run, or was not told to."""
        return self.fold.halt(self.params.epoch_at(now_ms))

    def wait_until_ms(self, now_ms: int) -> int:
        """When to check again whether this peer may write."""
        at_ms = max(self.quiet_until_ms, self.params.genesis_ms)
        if at_ms <= now_ms:  # silent, at its record quota for this epoch, or its clock is behind its log
            at_ms = self.params.epoch_start_ms(self.params.epoch_at(now_ms) + 1)
        return min(at_ms, now_ms + LEAP_MS // 2) if self.silence.is_on else at_ms

    @property
    def own_missing(self) -> int | None:
        """The number of the first own record that was signed before and is missing here: never sign it again."""
        head = self.ledger.head(self.key)
        held = 0 if head is None else head[1] + 1
        return held if held < self.signed_before else None

    def _is_awake(self, now_ms: int) -> bool:
        is_silent = self.silence.is_on or self.silence.stopped or now_ms < self.quiet_until_ms
        return not is_silent and self.params.epoch_at(now_ms) >= 0

    def may_sign_of(self, epoch: int) -> bool:
        """Whether this peer may sign slots, seals, votes and cuts of an epoch.

        It may not if the epoch began before its silence ended, because its key may have signed something else in that
        epoch that nobody has shown yet.
        """
        return epoch >= self.silence.first_epoch

    def write(self, kind: Kind, payload: bytes, now_ms: int) -> Effects[Record]:
        """Sign the next own record; it is persisted before it is published.

        Raises LocalProtocolError if others would refuse it, because they would then refuse all later ones, too.
        """
        assert self._is_awake(now_ms)
        head = self.ledger.head(self.key)
        record = make_record(
            self.seed,
            self.key,
            self.network_id,
            epoch=self.params.epoch_at(now_ms),
            seq=0 if head is None else head[1] + 1,
            prev=NO_PREV if head is None else head[2],
            kind=kind,
            payload=payload,
        )
        try:
            judge_payload(record, Rules(self.network, self.network_id, record.epoch))
        except (GossipIgnore, GossipReject) as error:
            raise LocalProtocolError(f"others would refuse this {kind.name.lower()}: {error.reason}") from None
        self.ledger.add(record)
        self.fold.take(record)
        self.has_signed = True
        yield Persist((record,))
        yield Publish((record.data,))
        return record

    def secret(self, purpose: str, *parts: object) -> bytes:
        """A secret of 32 bytes that only this peer can derive, always the same."""
        return secret_of(self.seed, self.network_id, purpose, *parts)

    # ------------------------------------------------------------ jobs and requests

    @property
    def newest_job(self) -> int:
        """The number of the job, or of the request, that was given last."""
        return self._last_id

    def compute(
        self,
        done: JobDone,
        ask: Ask,
        *,
        model: bytes,
        purpose: Purpose,
        deadline_ms: int,
        prompt_seed: bytes | None = None,
        prompt_tokens: int = 0,
        role: str = OWN,
        context_tokens: int = 0,
    ) -> Effects[None]:
        """Give an engine a job, as `Compute` describes it; `done` is called with the outcome."""
        self._last_id += 1
        self._jobs[self._last_id] = done
        wanted = (ask, prompt_seed, prompt_tokens, role, context_tokens, model)
        yield Compute(self._last_id, purpose, deadline_ms, *wanted)

    def score(
        self,
        done: ScoreDone,
        ask: Ask,
        tokens: tuple[int, ...],
        *,
        model: bytes,
        purpose: Purpose,
        deadline_ms: int,
    ) -> Effects[None]:
        """Have the referee score claimed tokens; `done` is called with the outcome."""
        self._last_id += 1
        self._scores[self._last_id] = done
        yield MeasureJob(self._last_id, purpose, deadline_ms, ask, tokens, model)

    def send(self, peer: bytes, data: bytes, deadline_ms: int, tokens_max: int, done: AskDone) -> Effects[None]:
        """Send a request for at most `tokens_max` tokens; `done` is called with the outcome."""
        self._last_id += 1
        self._asks[self._last_id] = done
        yield Send(self._last_id, peer, data, deadline_ms, tokens_max)

    def fetch(self, peer: bytes, data: bytes, deadline_ms: int, done: AskDone) -> Effects[None]:
        """Ask a peer for evidence; `done` is called with the outcome."""
        self._last_id += 1
        self._asks[self._last_id] = done
        yield FetchEvidence(self._last_id, peer, data, deadline_ms)

    def pay(self, peer: bytes, data: bytes, deadline_ms: int, done: AskDone) -> Effects[None]:
        """Send a cheque to a creditor; `done` is called with its answer."""
        self._last_id += 1
        self._asks[self._last_id] = done
        yield Pay(self._last_id, peer, data, deadline_ms)

    def job_done(self, event: Computed | MeasureDone | ComputeFailed, now_ms: int) -> Effects[None]:
        if not isinstance(event, MeasureDone):
            done = self._jobs.pop(event.job, None)
            if done is not None:
                yield from done(event, now_ms)
        if not isinstance(event, Computed):
            scored = self._scores.pop(event.job, None)
            if scored is not None:
                yield from scored(event, now_ms)

    def ask_done(self, event: ResponseArrived | AskFailed, now_ms: int) -> Effects[None]:
        done = self._asks.pop(event.ask, None)
        if done is not None:
            yield from done(event, now_ms)

    def statistics(self) -> dict[str, int]:
        return {**self.counters, "jobs": len(self._jobs) + len(self._scores), "asks": len(self._asks)}


class Part:
    """A role of the machine that acts by itself whenever something has happened, or its time has come.

    A role overrides what it needs.
    """

    def resume(self) -> None:
        """Find what the own log says of this role, after the silence of a start."""

    def tick(self, now_ms: int) -> Effects[None]:  # noqa: ARG002  # for the roles that override it
        """Do what is due."""
        yield from ()

    def next_wake_ms(self, now_ms: int) -> int | None:  # noqa: ARG002  # for the roles that override it
        """The time of the next tick if nothing happens before it, or None."""
        return None


def secret_of(seed: bytes, network_id: bytes, purpose: str, *parts: object) -> bytes:
    """The secret of 32 bytes of the peer with this identity seed (32 B) in a network: keyed BLAKE2b."""
    message = encode([purpose, network_id, *parts])
    return blake2b(message, digest_size=32, key=seed, person=SECRET).digest()
