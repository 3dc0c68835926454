"""The whole machine through its single entry point, in virtual time."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from p2pverify.core.encoding.canon import encode
from p2pverify.core.errors import GossipVerdict
from p2pverify.core.events import (
    Computed,
    Effect,
    Event,
    Judged,
    Note,
    Persist,
    Publish,
    RecordsArrived,
    RequestArrived,
    Respond,
    Tick,
)
from p2pverify.core.inference.question import (
    REQUEST_BYTES_MAX,
    Question,
    Request,
    RequestRefused,
    decode_response,
    encode_request,
    sign_request,
)
from p2pverify.core.machine import Machine
from p2pverify.core.records.envelope import Kind
from p2pverify.testnet.world import World
from p2pverify.testnet.world.liars.base import BentActor
from p2pverify.testnet.world.peer.versions import MANIFEST as WORLD_MANIFEST
from tests.support.networks import MANIFEST, make_network, seeds
from tests.support.worlds import casting, convicted, final, make_world, run_until
from tests.support.written import write


def request_to(machine: Machine, asker: bytes, asker_key: bytes, **changes: object) -> tuple[Request, bytes]:
    """A signed request and its bytes; `changes` are fields of the question or of the request."""
    fields = {
        "manifest": MANIFEST.digest,
        "prompt": (1, 2, 3),
        "tokens_max": 4,
        "network": machine.network.id,
        "responder": machine.key,
        "expiry_epoch": 2,
        **changes,
    }
    question = Question(
        fields["manifest"],  # type: ignore[arg-type]
        fields["prompt"],  # type: ignore[arg-type]
        fields["tokens_max"],  # type: ignore[arg-type]
        800,
        bytes(16),
        asker_key,
    )
    request = Request(
        fields["network"],  # type: ignore[arg-type]
        asker_key,
        fields["responder"],  # type: ignore[arg-type]
        question.id,
        bytes(32),
        fields["expiry_epoch"],  # type: ignore[arg-type]
    )
    return request, encode_request(request, question, sign_request(asker, request))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"network": bytes(32)}, "wrong-network"),
        ({"responder": bytes(32)}, "wrong-responder"),
        ({"manifest": bytes(32)}, "unknown-model"),
        ({"prompt": (1,) * 4000, "tokens_max": 200}, "prompt-too-long"),
        ({"prompt": (1, 256), "tokens_max": 2}, "unknown-token"),
        ({"expiry_epoch": 0}, "expired"),
        ({"expiry_epoch": 1000}, "bad-expiry"),
        ({"prompt": ()}, "malformed"),
    ],
)
def test_a_refusal_names_its_reason(changes: dict[str, object], code: str) -> None:
    """A request that cannot be answered gets a reason. A wrong network is not reported as a bad signature."""
    identities = seeds(2, "machine")
    network = make_network(identities)
    asked = Machine(network, identities[0], 0, MANIFEST, 4096, vocab_tokens=256)
    asker = Machine(network, identities[1], 0, MANIFEST, 4096)
    request, data = request_to(asked, identities[1], asker.key, **changes)
    now = network.params.epoch_start_ms(1)
    (reply,) = [e for e in asked.handle(RequestArrived(7, data, asker.key), now) if isinstance(e, Respond)]
    with pytest.raises(RequestRefused) as refused:
        decode_response(reply.data, request)
    assert refused.value.code == code
    assert asked.responder.refused == {code: 1}


def test_a_tampered_request_has_a_bad_signature_and_text_must_be_unicode() -> None:
    """One flipped bit gives a bad signature or a malformed request. A string that is not UTF-8 is reported as such."""
    identities = seeds(2, "machine")
    network = make_network(identities)
    asked = Machine(network, identities[0], 0, MANIFEST, 4096)
    asker = Machine(network, identities[1], 0, MANIFEST, 4096)
    request, data = request_to(asked, identities[1], asker.key)
    now = network.params.epoch_start_ms(1)
    for changed, code, word in (
        (data[:-1] + bytes([data[-1] ^ 1]), "bad-signature", "sign"),
        (encode(["x"]).replace(b"x", b"\xff"), "malformed", "not valid UTF-8"),
        (b"\x00" * (REQUEST_BYTES_MAX + 1), "too-large", "at most"),
    ):
        (reply,) = [e for e in asked.handle(RequestArrived(1, changed, asker.key), now) if isinstance(e, Respond)]
        with pytest.raises(RequestRefused) as refused:
            decode_response(reply.data, request)
        assert refused.value.code == code
        assert word in refused.value.detail


class OtherNumerics(BentActor):
    """Serves another quantisation with equal tokens and other logits."""

    def arriving(self, event: Event, now_ms: int) -> Sequence[Event]:
        if not isinstance(event, Computed):
            return (event,)
        return (replace(event, output=replace(event.output, logits=b"\x08" * 32)),)


def test_equal_tokens_from_other_logits_are_other_answers_in_a_class() -> None:
    """Within a class the digest of the logits counts, so a peer with another quantisation is convicted like any
    cheater."""
    world = make_world(5, seed=17, kinds={1: "other"}, slots_milli=1500, make=casting({"other": OtherNumerics}))
    assert run_until(world, lambda: convicted(world) == {1}, epochs_max=20)
    state = final(world)
    assert state.members[world.peers[1].key].convicted_after >= 4
    assert all(state.members[p.key].dissents == 0 for p in world.peers if p.number != 1)


def machine_of(world: World, number: int) -> Machine:
    """Another machine of a peer, without records."""
    return Machine(world.network, world.identities[number].seed, 0, WORLD_MANIFEST, 4096)


def test_what_was_stored_is_loaded_whatever_the_clock_says() -> None:
    """A clock that was set back does not make stored records unreadable. Otherwise own records would be signed a second
    time."""
    world = make_world(2, seed=5)
    world.run_epochs(5)
    early = machine_of(world, 0)
    disk, _, _ = world.peers[0].disk.read()
    assert early.load(disk, [], world.network.params.genesis_ms - 100_000) == len(disk)
    assert early.context.ledger.head(early.key) == world.peers[0].machine.context.ledger.head(early.key)


def test_no_number_is_signed_again_while_own_records_are_missing() -> None:
    """This holds for any length of time. Once others have sent them back, the peer continues its log after them."""
    world = make_world(2, seed=6)
    world.run_epochs(5)
    peer = world.peers[0]
    chain = list(peer.machine.context.ledger.chain(peer.machine.key))
    lost = chain[len(chain) // 2]
    machine = machine_of(world, 0)
    machine.load([data for data in peer.disk.read()[0] if data != lost.data], [], world.now_ms, alone=True)
    machine.expect_own(len(chain))
    assert machine.context.own_missing == lost.seq
    for epoch in range(20, 40):
        effects = machine.handle(Tick(), world.network.params.epoch_start_ms(epoch))
        assert not any(isinstance(effect, Publish) for effect in effects)
    later_ms = world.network.params.epoch_start_ms(40)
    # Those after it have waited for too long, so they come again.
    machine.handle(RecordsArrived(tuple(one.data for one in chain[lost.seq :]), world.peers[1].machine.key), later_ms)
    assert machine.context.own_missing is None
    assert machine.context.may_write(later_ms)
    assert write(machine.context, Kind.LEAVE, encode([]), later_ms).seq == machine.context.ledger.held(machine.key) - 1
    assert machine.context.ledger.head(machine.key)[1] >= len(chain)
    assert not machine.context.ledger.is_forked(machine.key)


def test_a_batch_is_judged_by_its_worst_record() -> None:
    """One malformed record among good ones rejects the message, but the good records are kept."""
    world = make_world(4, seed=44)
    world.run_epochs(2)
    good = [r.data for r in world.peers[0].machine.context.ledger.records() if r.kind == Kind.JOIN]
    fresh = Machine(world.network, seeds(1, "fresh")[0], 0, WORLD_MANIFEST, 64)
    effects = fresh.handle(RecordsArrived((*good, b"\x00"), bytes(32)), world.now_ms)
    (judged,) = [e for e in effects if isinstance(e, Judged)]
    assert judged.verdicts == (GossipVerdict.REJECT,)
    assert any("malformed" in reason for reason in judged.reasons)
    assert judged.reasons == judged.faults
    again = fresh.handle(RecordsArrived(tuple(good), bytes(32)), world.now_ms)
    (judged,) = [e for e in again if isinstance(e, Judged)]
    assert judged.verdicts == (GossipVerdict.IGNORE,)
    assert (judged.reasons, judged.faults) == (("known",) * len(good), ())


def test_a_clock_that_goes_back_behind_the_own_log_is_waited_for() -> None:
    """Nothing is signed until the clock reaches the log's last record, and the machine asks to be woken then."""
    identity = seeds(1)[0]
    network = make_network([identity])
    machine = Machine(network, identity, 0, MANIFEST, 64)
    params = network.params
    machine.handle(Tick(), params.epoch_start_ms(3))
    written = len(machine.context.ledger)
    assert written > 0
    assert machine.handle(Tick(), params.epoch_start_ms(1) + 7) == []
    assert machine.next_wake_ms(params.epoch_start_ms(1) + 7) == params.epoch_start_ms(2)
    assert len(machine.context.ledger) == written
    assert machine.handle(Tick(), params.epoch_start_ms(5) - 1) != []  # it makes its cut of epoch 4


def test_a_record_that_others_would_refuse_keeps_no_other_part_from_acting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a fault of one part would cost the network this peer's signatures of cuts. The operator is told once."""
    world = make_world(1, seed=3)
    world.run_epochs(2)
    machine = world.peers[0].machine
    params, before = world.network.params, machine.fold.latest.index

    def refused(now_ms: int) -> Iterator[Effect]:
        yield from machine.context.write(Kind.LEAVE, encode([1]), now_ms)

    monkeypatch.setattr(machine._parts.challenger, "tick", refused)
    effects = [one for epoch in (3, 4) for one in machine.handle(Tick(), params.epoch_start_ms(epoch + 1) - 1)]
    notes = [one.text for one in effects if isinstance(one, Note)]
    assert [text for text in notes if "malformed leave" in text] == [
        "this peer leaves a record out: others would refuse this leave: malformed leave: leave: not 0 items"
    ]
    assert machine.fold.latest.index > before


def test_a_fault_leaves_the_effects_that_came_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was signed before the fault must still be written to disk."""
    identities = seeds(4, "fault")
    network = make_network(identities)
    machine = Machine(network, identities[0], 0, MANIFEST, 64)

    def broken(_now_ms: int) -> Iterator[Effect]:
        yield Note("info", "just before")
        raise RuntimeError("a bug")

    monkeypatch.setattr(machine._parts.voter, "tick", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        machine.handle(Tick(), network.params.genesis_ms)
    written = [record for effect in machine.effects if isinstance(effect, Persist) for record in effect.records]
    assert written == list(machine.context.ledger.chain(machine.key)) != []
    assert machine.effects[-1] == Note("info", "just before")
