"""Objections: this peer compares each decision with its own result, and signs no conviction that rests on a wrong one.

A check of a decision goes through these phases:

| phase     | what happens                                                   | next                                    |
|-----------|----------------------------------------------------------------|-----------------------------------------|
| REPEATING | the decision differs from the own result; it is computed again | TESTING, or CLEARED if results differ   |
| TESTING   | the second result is equal; the golden questions are answered  | OBJECTING, or CLEARED: the peer stops   |
| OBJECTING | the machine passed; an objection is published                  |                                         |
| CLEARED   | this peer objects no more                                      |                                         |

Until a check is CLEARED the peer does not sign a cut with a conviction that would not stand without the decision.
"""

from dataclasses import dataclass
from enum import Enum, auto

from p2pverify.core.contract.golden import GoldenPath, golden_answer
from p2pverify.core.contract.network import Network
from p2pverify.core.encoding.canon import digest
from p2pverify.core.events import OWN, REFEREE, Computed, ComputeFailed, Effects, Note
from p2pverify.core.inference.jobs import Purpose
from p2pverify.core.limits import BoundedDict
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads import lots
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.records.payloads.objection import Objection, decode_objection
from p2pverify.core.records.payloads.vote import UNDERIVABLE, decode_vote
from p2pverify.core.roles.context import Context, Part
from p2pverify.core.roles.disputes.work import DisputeWork, Result
from p2pverify.core.state.lines.versions import contract_about
from p2pverify.core.state.state import FAR_OFF, LOST_DISPUTES, WRONG_WHEN_LONG, State
from p2pverify.core.state.verdicts.notes import Dispute
from p2pverify.core.state.verdicts.objections import grounds, objectors, stands_without
from p2pverify.core.state.verdicts.targets import voting_classes

RERUN = "p2pverify/rerun/1"
#: One in this many disputes on which a member does not vote is re-run by it.
RERUN_SHARE = 8
#: Epochs that a check may take; a job that is later is tried again.
CHECK_EPOCHS = 4
#: Decisions of which this peer remembers whether they are its own result.
FINDINGS_KEPT = 4096
#: Cuts that this peer refused lately and remembers.
REFUSED_KEPT = 8
SELFTEST_FAILED = "this machine answers a golden question wrongly: run 'p2pverify model selftest'"


class Phase(Enum):
    """The phases of a check; see the module's table."""

    REPEATING = auto()
    TESTING = auto()
    OBJECTING = auto()
    CLEARED = auto()


@dataclass(slots=True)
class _Check:
    """The check of one decision. `wronged` are the peers that lost by it. `result` is this peer's own result."""

    dispute: Dispute
    result: Result
    wronged: frozenset[bytes]
    phase: Phase = Phase.REPEATING
    is_running: bool = False
    is_published: bool = False


class Objector(Part):
    """This peer's objections. If it `is_on`, it checks all decisions for which it has a result."""

    def __init__(self, context: Context, work: DisputeWork, *, is_on: bool) -> None:
        self._context = context
        self._work = work
        self._is_on = is_on
        self._checks: dict[DisputeKey, _Check] = {}
        self._objected: set[DisputeKey] = set()  # by a record in the own log
        self._outputs: dict[DisputeKey, bytes] = {}  # of own votes before a restart
        self._seen: dict[DisputeKey, Dispute] = {}  # decided disputes of cuts that this peer was asked to sign
        self._unchecked: set[DisputeKey] = set()  # those of them for which there was no result yet
        self._lots: dict[DisputeKey, bool] = {}
        self._findings: BoundedDict[DisputeKey, bool] = BoundedDict(FINDINGS_KEPT)
        self._refused: BoundedDict[bytes, frozenset[bytes]] = BoundedDict(REFUSED_KEPT)  # cut -> convicted peers

    def resume(self) -> None:
        """Find the earlier objections and votes in the own log."""
        for record in self._context.ledger.chain(self._context.key):
            if record.kind == Kind.OBJECTION:
                self._objected.add(decode_objection(record.payload).dispute)
            elif record.kind == Kind.VOTE:
                vote = decode_vote(record.payload)
                self._outputs[vote.dispute] = vote.output
        latest, key = self._context.fold.latest, self._context.key
        self._objected.update(dispute for dispute, objectors in latest.contested.items() if key in objectors)

    def finding(self, key: DisputeKey) -> bool | None:
        """Whether the decision of a dispute is this peer's own result; None if it has not computed it."""
        return self._findings.get(key)

    # ------------------------------------------------------------ what is not signed

    @property
    def against(self) -> frozenset[DisputeKey]:
        """The disputes whose decisions this peer holds to be wrong, or is checking."""
        checked = (key for key, check in self._checks.items() if check.phase is not Phase.CLEARED)
        return frozenset((*checked, *self._objected))

    @property
    def refused(self) -> frozenset[bytes]:
        """The peers that are convicted wrongly, by this peer's results: finally, or in cuts that it refused lately."""
        return self._unjust(self._context.fold.latest).union(*self._refused.values())

    def refuses(self, state: State) -> bool:
        """Whether this peer does not sign a cut, because a conviction in its view rests on a wrong decision."""
        if not self._is_on:
            return False
        self._look(state)
        found = self._unjust(state)
        if found:
            self._refused[state.id] = found
        return bool(found)

    def _unjust(self, state: State) -> frozenset[bytes]:
        """The peers whose convictions in a view would not stand without the decisions that this peer objects to."""
        against = self.against
        if not against:
            return frozenset()
        wronged = frozenset().union(*(c.wronged for c in self._checks.values() if c.phase is not Phase.CLEARED))
        found = set()
        for peer in state.convicted:
            member = state.members[peer]
            is_by_test = member.conviction in (LOST_DISPUTES, WRONG_WHEN_LONG, FAR_OFF)
            if not is_by_test or stands_without(self._context.network, member, against):
                continue
            # A conviction that was carried over from another cut may have fewer grounds here.
            if peer in wronged or any(loss.dispute in against for loss in grounds(member)):
                found.add(peer)
        return frozenset(found)

    # ------------------------------------------------------------ checking

    def tick(self, now_ms: int) -> Effects[None]:
        """Compare decisions with own results, and go on with the checks."""
        if not self._is_on:
            return
        latest = self._context.fold.latest
        self._look(latest)
        for key in sorted(self._unchecked, key=lambda k: k.sort_key()):
            yield from self._rerun(key, self._seen[key], now_ms)
            self._compare(key, self._seen[key])
        for key in sorted(self._checks, key=lambda k: k.sort_key()):
            yield from self._go_on(self._checks[key], now_ms)
        self._forget(latest)

    def next_wake_ms(self, now_ms: int) -> int | None:
        """When to go on with a check whose job was dropped, or None."""
        if any(
            check.phase in (Phase.REPEATING, Phase.TESTING) and not check.is_running for check in self._checks.values()
        ):
            return now_ms + self._context.params.epoch_ms // 4
        return None

    def _look(self, state: State) -> None:
        """Note the decided disputes of a state. A later decision after an appeal replaces the first one."""
        seen, unchecked = self._seen, self._unchecked
        for key, dispute in state.disputes.items():
            if dispute.decision is not None and (seen.get(key) is not dispute or key in unchecked):
                seen[key] = dispute
                self._compare(key, dispute)

    def _compare(self, key: DisputeKey, dispute: Dispute) -> None:
        """Begin the check of a decision that differs from a known result."""
        result, check = self._work.known(key) or self._opened(key, dispute), self._checks.get(key)
        output = self._outputs.get(key) if result is None else result.output
        if output is not None:
            self._findings[key] = output == dispute.decision
        if result is None:
            self._unchecked.add(key)
            return
        self._unchecked.discard(key)
        if check is not None and check.dispute.decision == dispute.decision:
            return
        if result.output == dispute.decision:
            self._checks.pop(key, None)
        else:
            self._checks[key] = _Check(dispute, result, _wronged(dispute))

    def _opened(self, key: DisputeKey, dispute: Dispute) -> Result | None:
        """The answer that this peer sealed and opened as the challenger of a dispute. A second run completes it."""
        own = self._context.key
        vote = dispute.votes.get(own) if key.challenger == own else None
        return None if vote is None else Result(vote.output, dispute.measures.get(vote.output, ()), b"")

    def _rerun(self, key: DisputeKey, dispute: Dispute, now_ms: int) -> Effects[None]:
        if self._work.known(key) is None and (key in self._outputs or self._should_rerun(key, dispute)):
            yield from self._work.start(dispute, self._deadline_ms(now_ms), now_ms)

    def _should_rerun(self, key: DisputeKey, dispute: Dispute) -> bool:
        """Whether this peer re-runs a dispute on which it does not vote: it is drawn, or another member objects."""
        context = self._context
        if dispute.is_report and context.key not in dispute.shown_to:
            return False  # nobody shows it the question
        latest = context.fold.latest
        own, member = latest.members.get(key.challenger), latest.members.get(context.key)
        if own is None or member is None or not member.weight:
            return False
        if member.class_index not in voting_classes(context.network, own.class_index, is_across=dispute.is_across):
            return False
        return self._is_drawn(key) or bool(objectors(dispute))

    def _is_drawn(self, key: DisputeKey) -> bool:
        if key not in self._lots:
            lot = digest([RERUN, self._context.network_id, key.to_value(), self._context.key])
            self._lots[key] = lot[0] < 256 // RERUN_SHARE
        return self._lots[key]

    def _go_on(self, check: _Check, now_ms: int) -> Effects[None]:
        if check.phase is Phase.OBJECTING and not check.is_published:
            yield from self._publish(check, now_ms)
        if check.is_running or check.phase in (Phase.OBJECTING, Phase.CLEARED):
            return
        check.is_running = True
        if check.phase is Phase.REPEATING:
            yield from self._repeat(check, now_ms)
        else:
            yield from self._test(check, 0, now_ms)

    def _repeat(self, check: _Check, now_ms: int) -> Effects[None]:
        def done(found: Result | ComputeFailed | str, _later_ms: int) -> Effects[None]:
            check.is_running = False
            if not isinstance(found, Result):
                return
            if found.output == check.result.output:
                check.result, check.phase = found, Phase.TESTING
            else:
                check.phase = Phase.CLEARED
                yield Note("warning", "this machine gave two different answers to one disputed question: check it")

        yield from self._work.again(check.dispute, self._deadline_ms(now_ms), done)

    def _test(self, check: _Check, number: int, now_ms: int) -> Effects[None]:
        """Answer the golden questions one by one. A wrong answer ends all signing of this run."""
        model = self._model(check.dispute)
        paths = self._golden(check.dispute)
        if not paths or number == len(paths[0].answers):
            check.is_running = False
            check.phase = Phase.OBJECTING
            return

        def done(event: Computed | ComputeFailed, later_ms: int) -> Effects[None]:
            if isinstance(event, ComputeFailed):
                check.is_running = False
            elif golden_answer(event.output) in {path.answers[number] for path in paths}:
                yield from self._test(check, number + 1, later_ms)
            else:
                check.is_running, check.phase = False, Phase.CLEARED
                self._context.silence.stop(SELFTEST_FAILED)

        yield from self._context.compute(
            done,
            self._context.held[model].manifest.golden.questions[number],
            model=model,
            purpose=Purpose.VOTE,
            deadline_ms=self._deadline_ms(now_ms),
            role=REFEREE if check.dispute.is_across else OWN,
        )

    def _model(self, dispute: Dispute) -> bytes:
        """The manifest of the model that a dispute is about."""
        return self._contract(dispute).classes[self._context.class_index].manifest

    def _contract(self, dispute: Dispute) -> Network:
        context = self._context
        return contract_about(context.network, context.fold.latest, context.class_index, dispute)

    def _golden(self, dispute: Dispute) -> tuple[GoldenPath, ...]:
        """The golden answers of the engine that gave the result, on each of its known paths."""
        held = self._context.held.get(self._model(dispute))
        if held is None:
            return ()
        network, golden = self._contract(dispute), held.manifest.golden
        if dispute.is_across:
            return tuple(path for path in golden.paths if path.engine == network.referee)
        kind = network.classes[self._context.class_index]
        own = golden.of(kind.engine, kind.numeric_path)
        return () if own is None else (own,)

    def _deadline_ms(self, now_ms: int) -> int:
        params = self._context.params
        return params.epoch_start_ms(params.epoch_at(now_ms) + CHECK_EPOCHS)

    # ------------------------------------------------------------ publishing

    def _publish(self, check: _Check, now_ms: int) -> Effects[None]:
        """Publish an objection once, as soon as a certified cut holds the dispute with its sealing closed."""
        context, key = self._context, check.dispute.key
        latest = context.fold.latest
        then, member = latest.disputes.get(key), latest.members.get(context.key)
        if then is None or then.closed_index < 0 or member is None or not member.weight:
            return
        if key.epoch >= context.params.epoch_at(now_ms):  # our clock is behind: all would reject the objection
            return
        check.is_published = True
        if key in self._objected:
            return
        self._objected.add(key)
        shown = lots.shown_work(context.network_id, key, lots.OBJECTION, check.result.digest)
        result = check.result
        said = Objection(key, latest.id, context.class_index, result.output, result.measures, shown)
        yield Note(
            "warning", f"objects to the decision on slot {key.slot} of epoch {key.epoch}: it was decided wrongly"
        )
        yield from context.write(Kind.OBJECTION, said.encode(), now_ms)

    def _forget(self, latest: State) -> None:
        """Forget what no later cut can rest on. Own objections are kept while a row rests on what they are about."""
        oldest = latest.epoch - self._context.params.dispute_epochs - 16
        for key in [key for key in self._seen if key.epoch < oldest]:
            del self._seen[key]
            self._unchecked.discard(key)
            self._lots.pop(key, None)
        self._objected = {
            key
            for key in self._objected
            if key.epoch >= oldest or self._context.key in latest.contested.get(key, ()) or key in latest.disputes
        }
        self._outputs = {key: output for key, output in self._outputs.items() if key.epoch >= oldest}
        for key in [k for k, check in self._checks.items() if k.epoch < oldest and check.phase is Phase.CLEARED]:
            del self._checks[key]


def _wronged(dispute: Dispute) -> frozenset[bytes]:
    """The peers that a decision finds wrong."""
    decision = dispute.decision
    voters = {voter for voter, vote in dispute.votes.items() if vote.output != decision}
    if decision is None or decision == UNDERIVABLE:
        return frozenset(voters | {dispute.audit.challenger})
    receipts = [(each.responder, each.receipt) for each in dispute.audit.asked if each.receipt is not None]
    wrong = {peer for peer, receipt in receipts if dispute.is_across or not dispute.audit.matches(receipt, decision)}
    return frozenset(voters | wrong)
