"""Worlds whose members amend the rules, and in which some peers run an older program."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from p2pverify.core.contract.rules.changes import Change
from p2pverify.core.encoding import sign
from p2pverify.core.events import Event
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.amendment import Approval, Word
from p2pverify.core.state.rules.following import Following
from p2pverify.testnet.world.liars.registry import make_actor
from p2pverify.testnet.world.peer.actor import Actor, ActorArgs
from tests.support.amending import amendment
from tests.support.networks import seeds
from tests.support.worlds import casting, final, make_world

NOTICE = 3


class AmendedWorld:
    """A world of `count` founders. `followings` says, by number, what a peer follows from its next start on."""

    def __init__(self, count: int = 6, *, seed: int = 1, **changes: Any) -> None:
        keys = [sign.public_key(each) for each in seeds(count, f"world-{seed}")]
        self.followings: dict[int, Following] = {}
        self.words: dict[bytes, list[tuple[Kind, bytes]]] = {key: [] for key in keys}
        numbers = {key: number for number, key in enumerate(keys)}

        def make(_kind: str, args: ActorArgs) -> Actor:
            known = self.followings.get(numbers[sign.public_key(args.seed)])
            return make_actor("honest", replace(args, following=known))

        cast = casting({"honest": lambda args: make("honest", args)}, self._around)
        self.world = make_world(count, seed=seed, make=cast, notice_epochs=NOTICE, **changes)
        self.peers = self.world.peers
        self.keys = keys

    def _around(self, actor: Actor, event: Event, now_ms: int, handle: Callable[[Event, int], list[Any]]) -> list[Any]:
        effects, context, words = handle(event, now_ms), actor.machine.context, self.words[actor.key]
        while words and context.may_write(now_ms):
            effects += context.write(*words.pop(0), now_ms)
        return effects

    def say(self, number: int, kind: Kind, payload: bytes) -> None:
        self.words[self.keys[number]].append((kind, payload))

    def propose(self, number: int, *changes: Change, **fields: int) -> bytes:
        """Have a member propose an amendment, and wait until a cut has it. Returns its id."""
        state = final(self.world)
        made = amendment(state, *changes, network=self.world.network, **fields)
        self.say(number, Kind.AMENDMENT, made.encode())
        for _ in range(12):
            self.world.run_epochs(0.5)
            found = [key for key, one in final(self.world).amendments.items() if one.payload == made.encode()]
            if found:
                return found[0]
        raise AssertionError(dict(final(self.world).totals))

    def words_of(self, found: bytes, word: Word, who: Iterable[int]) -> None:
        for number in who:
            self.say(number, Kind.APPROVAL, Approval(found, word).encode())

    def approve(self, found: bytes, who: Iterable[int]) -> int:
        """Have members approve, and wait until a cut says when the amendment starts. Returns that epoch."""
        self.words_of(found, Word.YES, who)
        for _ in range(12):
            self.world.run_epochs(0.5)
            note = final(self.world).amendments.get(found)
            if note is not None and note.is_scheduled:
                return note.starts
        raise AssertionError(dict(final(self.world).totals))

    def run_to(self, epoch: int) -> None:
        """Run until a cut of this epoch or a later one is final."""
        for _ in range(48):
            if final(self.world).epoch >= epoch:
                return
            self.world.run_epochs(0.5)
        raise AssertionError(final(self.world).epoch)

    def restart(self, number: int) -> None:
        peer = self.peers[number]
        self.world.stop(peer)
        self.world.start(peer)
