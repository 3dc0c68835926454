"""Votes that cheaters sign have no effect, and the reason is recorded. Each test runs a small network."""

from dataclasses import replace

import pytest

from p2pverify.core.contract.output import Output
from p2pverify.core.events import Compute, Effects, Publish
from p2pverify.core.inference.jobs import Purpose
from p2pverify.core.inference.question import Question
from p2pverify.core.records.envelope import Kind, make_record
from p2pverify.core.records.payloads.vote import Commit, Vote, decode_commit, vote_commit
from p2pverify.core.roles import slot_plan
from p2pverify.core.roles.disputes.voter import Voter
from p2pverify.core.state.state import State
from p2pverify.testnet.world.peer.actor import HonestActor
from p2pverify.testnet.world.peer.engine import honest_answer
from tests.support.cheating import CHEAT, PEERS, counts, quiet_world, reasons
from tests.support.worlds import casting, convicted


class Choosing(HonestActor):
    """Its engine answers a longer question than it writes, so that its own answer is right for this question."""

    def answer(self, job: Compute, honest: tuple[int, ...], now_ms: int) -> tuple[int, ...]:
        longer = replace(job, ask=replace(job.ask, prompt=(*job.ask.prompt, 7)))
        return honest_answer(longer) if job.purpose is Purpose.AUDIT else honest


def test_an_underivable_prompt_is_found_and_costs_its_challenger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a chosen question is voted on, no peer earns an agreement from it, and its challenger gets a dissent."""
    world = quiet_world(spot_check_permille=1000, kinds={CHEAT: "choosing"}, make=casting({"choosing": Choosing}))
    cheat = world.peers[CHEAT].machine
    honest = slot_plan.slot_question

    def chosen(context: object, contract: object, slot: object, prompt: tuple[int, ...], requester: bytes) -> Question:
        if context is cheat.context and requester == cheat.key:
            prompt = (*prompt, 7)
        return honest(context, contract, slot, prompt, requester)  # type: ignore[arg-type]

    monkeypatch.setattr("p2pverify.core.roles.challenger.slot_question", chosen)
    world.run_epochs(12)
    assert counts(world, CHEAT)[1] > 0
    assert all(counts(world, name)[1] == 0 for name in range(PEERS) if name != CHEAT)


def test_a_copied_commit_opens_for_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit covers the voter's key, so a copied commit cannot be opened under another key."""
    world = quiet_world(slots_milli=1500, kinds={4: "always-wrong"})
    cheat = world.peers[CHEAT].machine.context
    honest = Voter._commit

    sent: set[object] = set()

    def copy(self: Voter, dispute: object, state: State, now_ms: int) -> Effects[None]:
        if self._context is not cheat:
            yield from honest(self, dispute, state, now_ms)  # type: ignore[arg-type]
            return
        key = dispute.key  # type: ignore[attr-defined]
        for record in cheat.ledger.records():
            if record.kind != Kind.VOTE_COMMIT or key in sent or record.author == cheat.key:
                continue
            seen = decode_commit(record.payload)
            if seen.dispute == key:
                sent.add(key)
                yield from cheat.write(Kind.VOTE_COMMIT, Commit(key, state.id, seen.commit).encode(), now_ms)

    monkeypatch.setattr(Voter, "_commit", copy)
    world.run_epochs(9)
    assert reasons(world)["vote: does not open the commit"] > 0
    assert convicted(world) <= {4}


def test_a_reveal_whose_commit_no_cut_holds_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a sealed answer a vote has no effect, even if the answer is right."""
    world = quiet_world(slots_milli=1500, kinds={4: "always-wrong"})
    cheat = world.peers[CHEAT].machine.context
    honest = Voter._vote

    def never(self: Voter, dispute: object, state: State, now_ms: int) -> Effects[None]:
        if self._context is not cheat:
            yield from honest_commit(self, dispute, state, now_ms)  # type: ignore[arg-type]

    def reveal(self: Voter, dispute: object, state: State, now_ms: int) -> Effects[None]:
        key = dispute.key  # type: ignore[attr-defined]
        if self._context is not cheat:
            yield from honest(self, dispute, state, now_ms)  # type: ignore[arg-type]
        elif key not in self._voted and key.challenger != cheat.key:
            self._voted.add(key)
            vote = Vote(key, state.id, 0, Output((1,), "stop", bytes(32)).digest(dispute.audit.question), (bytes(32),))  # type: ignore[attr-defined]
            yield from cheat.write(Kind.VOTE, vote.encode(), now_ms)

    honest_commit = Voter._commit
    monkeypatch.setattr(Voter, "_commit", never)
    monkeypatch.setattr(Voter, "_vote", reveal)
    world.run_epochs(9)
    assert reasons(world)["vote: no commit was counted"] > 0
    assert counts(world, CHEAT)[1] == 0


def test_a_commit_dated_back_is_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A claimed epoch proves nothing, because a commit counts only in cuts before sealing is closed."""
    world = quiet_world(slots_milli=1500, kinds={4: "always-wrong"})
    cheat = world.peers[CHEAT].machine.context
    honest = Voter._commit

    sent: set[object] = set()

    def late(self: Voter, dispute: object, state: State, now_ms: int) -> Effects[None]:
        if self._context is not cheat:
            yield from honest(self, dispute, state, now_ms)  # type: ignore[arg-type]

    def vote(self: Voter, dispute: object, state: State, now_ms: int) -> Effects[None]:
        key = dispute.key  # type: ignore[attr-defined]
        if self._context is not cheat:
            yield from honest_vote(self, dispute, state, now_ms)  # type: ignore[arg-type]
        elif key not in sent and key.challenger != cheat.key:
            sent.add(key)
            sealed = vote_commit(world.network.id, key, cheat.key, 0, bytes(32), bytes(32))
            head, last = cheat.ledger.head(cheat.key), cheat.ledger.last(cheat.key)
            assert head is not None
            assert last is not None
            record = make_record(
                cheat.seed,
                cheat.key,
                world.network.id,
                epoch=max(key.epoch + 1, last.epoch),  # the date of a commit in time, if its log allows it
                seq=head[1] + 1,
                prev=head[2],
                kind=Kind.VOTE_COMMIT,
                payload=Commit(key, state.id, sealed).encode(),
            )
            cheat.ledger.add(record)
            world.peers[CHEAT].carry_out(Publish((record.data,)))

    honest_vote = Voter._vote
    monkeypatch.setattr(Voter, "_commit", late)
    monkeypatch.setattr(Voter, "_vote", vote)
    world.run_epochs(9)
    assert reasons(world)["commit: after the sealing was closed"] > 0
