"""A small simulated world for testing one kind of hostile peer at a time. Each link has its own latency.

Gossip goes to every peer directly, sync compares whole sets, and an engine takes a fixed time. Equal seeds give equal
runs.
"""

import heapq
import itertools
from collections.abc import Mapping, Sequence

from p2pverify.core.contract.output import Output
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.events import (
    AskFailed,
    Compute,
    Computed,
    Event,
    GossipArrived,
    Judged,
    Note,
    Persist,
    Publish,
    RecordBatch,
    RecordsArrived,
    RequestArrived,
    Respond,
    ResponseArrived,
    Send,
    StoredAnswer,
    Synced,
    Tick,
)
from p2pverify.core.gossip.dice import Dice
from p2pverify.core.gossip.types import GossipMessage, Rpc, records_topic
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.state.state import Member, State
from p2pverify.core.state.view import view_root
from p2pverify.node.messages import decode_batch
from p2pverify.testnet.world.liars.registry import make_actor
from p2pverify.testnet.world.peer.actor import Actor, ActorArgs, Connect, Gang, PublishTo, RawRpc
from tests.support.world import MANIFEST, make_network, seeds, tokens_of

JOB_MS = 60
SYNC_MS = 1_500
PAGE_MAX = 512


class SmallWorld:
    """`kinds` has the kinds of the hostile peers by number, `late` the first epoch of peers that start late."""

    def __init__(
        self,
        count: int,
        kinds: Mapping[int, str],
        *,
        seed: int = 1,
        founders: int | None = None,
        late: Mapping[int, int] | None = None,
        loss_ppm: int = 0,
        rate_ppm: int = 1_000_000,
        onset_epoch: int = 0,
        **changes: int,
    ) -> None:
        self.kinds, self.loss_ppm = kinds, loss_ppm
        self.identities = seeds(count, f"small-{seed}")
        self.network = make_network(self.identities, founders=founders, **changes)
        self.dice = Dice(b"small world" + seed.to_bytes(4, "big"))
        self.keys = tuple(sign.public_key(identity) for identity in self.identities)
        self.honest = tuple(n for n in range(count) if n not in kinds)
        self.rate_ppm, self.onset_epoch = rate_ppm, onset_epoch
        self._gangs: dict[str, Gang] = {}
        for name, kind in sorted(kinds.items()):
            gang = self._gangs.setdefault(kind, Gang())
            gang.keys.append(self.keys[name])
            gang.seeds.append(self.identities[name])
        self.actors = [self._actor(name) for name in range(count)]
        self.by_key = {key: name for name, key in enumerate(self.keys)}
        self.disk: list[list[bytes]] = [[] for _ in range(count)]
        self.answers: list[list[StoredAnswer]] = [[] for _ in range(count)]
        self.notes: list[list[str]] = [[] for _ in range(count)]
        self.rejected: dict[str, int] = {}
        self.raw: list[Rpc] = []
        self.up: set[int] = set()
        self.only: dict[int, set[int]] = {}  # the only peers that a peer has links to
        self.now = self.network.params.genesis_ms - 3_000
        self._heap: list[tuple[int, int, int, object]] = []
        self._order = itertools.count()
        self._tickets: dict[int, tuple[int, int]] = {}
        self._awaited: set[tuple[int, int]] = set()
        self._wakes: dict[int, int] = {}
        self.certified: dict[bytes, State] = {}
        for name in range(count):
            start = (late or {}).get(name, 0) * self.network.params.epoch_ms
            self._post(start + self.dice.below(1500), name, "start")

    def _actor(self, name: int) -> Actor:
        kind = self.kinds.get(name, "honest")
        dice = Dice(b"actor" + self.identities[name])
        honest = tuple(self.keys[n] for n in self.honest)
        args = ActorArgs(
            self.network, self.identities[name], 0, MANIFEST, 4096, dice, self.rate_ppm, self.onset_epoch,
            self._gangs.get(kind, Gang()), self.keys, honest,
        )  # fmt: skip
        return make_actor(kind, args)

    # ------------------------------------------------------------ time

    def _post(self, delay: int, name: int, what: object) -> None:
        heapq.heappush(self._heap, (self.now + delay, next(self._order), name, what))

    def run_epochs(self, epochs: int) -> None:
        end = max(self.now, self.network.params.genesis_ms) + epochs * self.network.params.epoch_ms
        while self._heap and self._heap[0][0] <= end:
            self.now, _, name, what = heapq.heappop(self._heap)
            self._dispatch(name, what)
        self.now = end

    def _dispatch(self, name: int, what: object) -> None:
        if what == "start":
            self.up.add(name)
            self.actors[name].load(self.disk[name], self.answers[name], self.now)
            self._handle(name, Tick())
            self._post(self.dice.below(SYNC_MS), name, "sync")
        elif name not in self.up:
            return
        elif what == "sync":
            self._sync(name)
            self._post(SYNC_MS, name, "sync")
        elif what == "tick":
            if self._wakes.get(name) == self.now:
                self._handle(name, Tick())
        elif isinstance(what, tuple):
            actor, event = what
            if actor is self.actors[name]:
                self._handle(name, event)
        else:
            self._handle(name, what)  # type: ignore[arg-type]

    def _handle(self, name: int, event: Event) -> None:
        actor = self.actors[name]
        if isinstance(event, ResponseArrived | AskFailed):
            if (name, event.ask) not in self._awaited:
                return
            self._awaited.discard((name, event.ask))
        for effect in actor.handle(event, self.now):
            self._carry_out(name, effect)
        if not isinstance(event, RecordsArrived | GossipArrived) or self._wakes.get(name, 0) <= self.now:
            wake = max(self.now + 1, actor.next_wake_ms(self.now))
            self._wakes[name] = wake
            self._post(wake - self.now, name, "tick")

    # ------------------------------------------------------------ effects

    def _carry_out(self, name: int, effect: object) -> None:
        match effect:
            case Persist():
                self.disk[name] += [record.data for record in effect.records]
                self.answers[name] += effect.answers
            case Publish():
                self._gossip(name, effect.records, self.keys)
            case PublishTo():
                self._deliver(name, effect.records, effect.peers)
            case RawRpc():
                self.raw.append(effect.rpc)
                for message in effect.rpc.publish:
                    self._take_message(name, effect.peer, message.data)
            case Send():
                self._send(name, effect)
            case Respond():
                asker, ask = self._tickets.pop(effect.ticket)
                self._post(self._latency(), asker, ResponseArrived(ask, effect.data))
            case Compute():
                self._compute(name, effect)
            case Note():
                self.notes[name].append(effect.text)
            case Judged():
                for reason in effect.faults:
                    self.rejected[reason] = self.rejected.get(reason, 0) + 1
            case Connect() | _:
                pass

    def _take_message(self, name: int, peer: bytes, data: bytes) -> None:
        try:
            self._deliver(name, decode_batch(data), (peer,))
        except DecodeError:
            self.rejected["malformed batch"] = self.rejected.get("malformed batch", 0) + 1

    def _gossip(self, name: int, records: Sequence[bytes], peers: Sequence[bytes]) -> None:
        """Send records like the actor's own router, through the actor's filter."""
        message = GossipMessage(records_topic(self.network.id), encode(list(records)))
        for peer in peers:
            rpc = (
                self.actors[name].outgoing(peer, Rpc(publish=(message,)), self.now) if peer != self.keys[name] else None
            )
            for sent in rpc.publish if rpc else ():
                self._deliver(name, decode_batch(sent.data), (peer,))

    def _deliver(self, name: int, records: Sequence[bytes], peers: Sequence[bytes]) -> None:
        for peer in peers:
            linked = peer in self.by_key and self._linked(name, self.by_key[peer])
            if linked and self.dice.below(1_000_000) >= self.loss_ppm:
                batch = RecordBatch(tuple(records), self.keys[name])
                self._post(self._latency(), self.by_key[peer], GossipArrived((batch,)))

    def _linked(self, one: int, two: int) -> bool:
        return two in self.only.get(one, {two}) and one in self.only.get(two, {one})

    def _latency(self) -> int:
        return 2 + self.dice.below(40)

    def _send(self, name: int, effect: Send) -> None:
        self._awaited.add((name, effect.ask))
        target = self.by_key.get(effect.peer)
        if target is None or target not in self.up or not self._linked(name, target):
            self._post(5, name, AskFailed(effect.ask, "unreachable"))
            return
        ticket = next(self._order)
        self._tickets[ticket] = (name, effect.ask)
        self._post(self._latency(), target, RequestArrived(ticket, effect.data, self.keys[name]))
        self._post(max(1, effect.deadline_ms - self.now), name, AskFailed(effect.ask, "timeout"))

    def _compute(self, name: int, job: Compute) -> None:
        prompt = job.ask.prompt
        if job.prompt_seed is not None:
            prompt = tokens_of(b"prompt" + job.prompt_seed, job.prompt_tokens)
        key = repr((prompt, job.ask.temperature_milli, job.ask.sampler_key)).encode()
        honest = tokens_of(key, job.ask.tokens_max) if job.ask.tokens_max else ()
        actor = self.actors[name]
        tokens = actor.answer(job, honest, self.now)
        self._post(JOB_MS, name, (actor, Computed(job.job, prompt, Output(tokens, "length"), 0, 1, 1)))

    def _sync(self, name: int) -> None:
        neighbours = [n for n in sorted(self.up) if n != name and self._linked(name, n)]
        if not neighbours:
            return
        other = neighbours[self.dice.below(len(neighbours))]
        if not self.actors[other].serves_sync(self.keys[name], self.now):
            return
        have, theirs = self.ledger(name), self.ledger(other)
        lacking = itertools.islice((r for r in theirs.records() if r.id not in have), PAGE_MAX)
        page = tuple(record.data for record in lacking)
        late = self._latency()
        if page:
            self._post(late, name, RecordsArrived(page, self.keys[other]))
        if len(page) < PAGE_MAX:
            self._post(late, name, Synced(self.keys[other]))

    # ------------------------------------------------------------ faults

    def restart(self, name: int) -> None:
        """Restart a peer from its disk."""
        self.actors[name] = self._actor(name)
        self._post(1, name, "start")

    # ------------------------------------------------------------ looking

    def ledger(self, name: int) -> Ledger:
        return self.actors[name].machine.context.ledger

    def final(self, name: int | None = None) -> State:
        return self.actors[self.honest[0] if name is None else name].machine.fold.latest

    def member(self, name: int) -> Member:
        """A peer in the final view of the first honest one."""
        return self.final().members[self.keys[name]]

    def convicted(self) -> dict[int, str]:
        """The peers that any honest peer's final view convicts, with the reasons."""
        found = {}
        for observer in self.honest:
            for key, member in self.final(observer).members.items():
                if member.is_convicted:
                    found[self.by_key.get(key, -1)] = member.conviction
        return found

    def views(self) -> set[bytes]:
        """The view roots of honest peers at the newest cut that is certified at all of them."""
        paths = [self.final(name).path for name in self.honest]
        common = [cut for cut in paths[0] if all(cut in path for path in paths)]
        roots = set()
        for name in self.honest:
            state = self.actors[name].machine.fold.state(common[-1])
            assert state is not None
            roots.add(view_root(self.network, state))
        return roots
