"""A driver between a scripted machine and fakes."""

from collections.abc import Callable

import trio

from p2pverify.core.events import (
    Effect,
    Event,
    RequestArrived,
)
from p2pverify.core.records.envelope import NO_PREV, Kind, Record, make_record
from p2pverify.node.driver import Driver
from tests.node.fakes import FakeEngine, FakeJournal, FakeNetwork, ScriptedMachine
from tests.support.networks import make_network, seeds

SEEDS = seeds(3)
NETWORK = make_network(SEEDS)
SOURCE = b"s" * 32


def record(seed: bytes, number: int = 0, payload: bytes = b"") -> Record:
    from p2pverify.core.encoding.sign import public_key

    return make_record(
        seed,
        public_key(seed),
        NETWORK.id,
        epoch=0,
        seq=number,
        prev=NO_PREV if number == 0 else b"p" * 32,
        kind=Kind.LEAVE,
        payload=payload,
    )


class Bench:
    """A driver with a scripted machine and fakes around it. One trace holds all events."""

    def __init__(self, script: Callable[[Event], list[Effect]], *, silent: bool = False) -> None:
        self.trace: list[str] = []
        self.journal = FakeJournal(self.trace)
        self.network = FakeNetwork(self.trace)
        self.engine = FakeEngine()
        self.machine = ScriptedMachine(NETWORK, SEEDS[0])
        self.machine.script = script
        self.driver = Driver(
            self.machine, self.journal, self.engine, clock=lambda: round(trio.current_time() * 1000), silent=silent
        )

    def events(self, kind: type) -> list[Event]:
        return [event for event in self.machine.events if isinstance(event, kind)]


def on_request(*effects: Effect) -> Callable[[Event], list[Effect]]:
    """A script with these effects for the request with ticket 1."""
    return lambda event: list(effects) if isinstance(event, RequestArrived) else []
