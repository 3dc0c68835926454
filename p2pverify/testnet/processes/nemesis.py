"""The nemesis of a testnet of real processes: it carries out each fault of its plan at the planned time.

`faults` chooses the victims, and `verdict` checks what must hold despite the faults.
"""

import signal
from collections.abc import Callable
from time import time_ns
from typing import Protocol

import trio

from p2pverify.testnet.faults import FaultKind, FaultPlan
from p2pverify.testnet.processes.relay import Relays


class Victims(Protocol):
    """The actions of the nemesis on peers by name. A `Testnet` has them."""

    async def kill(self, name: str) -> None: ...

    async def restart(self, name: str) -> None: ...

    async def signal(self, name: str, number: signal.Signals) -> None: ...


class Nemesis:
    """One run's faults. `genesis_ms` is the start of epoch 0 in Unix milliseconds."""

    def __init__(
        self,
        faults: tuple[FaultPlan, ...],
        victims: Victims,
        relays: Relays | None,
        *,
        genesis_ms: int,
        clock: Callable[[], int] = lambda: time_ns() // 1_000_000,
    ) -> None:
        self._faults = faults
        self._victims = victims
        self._relays = relays
        self._genesis_ms = genesis_ms
        self._clock = clock
        self.active: list[FaultPlan] = []

    def __str__(self) -> str:
        return ", ".join(str(fault) for fault in self.active)

    async def run(self) -> None:
        """Carry out all faults. Returns when the last fault has ended and its victims run again."""
        async with trio.open_nursery() as nursery:
            for fault in self._faults:
                nursery.start_soon(self._carry_out, fault)

    async def _carry_out(self, fault: FaultPlan) -> None:
        await self._sleep_until(fault.begins_ms)
        self.active.append(fault)
        match fault.kind:
            case FaultKind.CRASH:
                await self._crash(fault)
            case FaultKind.PAUSE:
                await self._pause(fault)
            case FaultKind.PARTITION:
                await self._part(fault)
        self.active.remove(fault)

    async def _crash(self, fault: FaultPlan) -> None:
        for name in fault.victims:
            await self._victims.kill(name)
        await self._sleep_until(fault.ends_ms)
        async with trio.open_nursery() as nursery:
            for name in fault.victims:
                nursery.start_soon(self._victims.restart, name)

    async def _pause(self, fault: FaultPlan) -> None:
        try:
            for name in fault.victims:
                await self._victims.signal(name, signal.SIGSTOP)
            await self._sleep_until(fault.ends_ms)
        finally:
            with trio.CancelScope(shield=True):  # a stopped process would not react to SIGTERM
                for name in fault.victims:
                    await self._victims.signal(name, signal.SIGCONT)

    async def _part(self, fault: FaultPlan) -> None:
        assert self._relays is not None
        side = self._relays.cut(fault.victims)
        await self._sleep_until(fault.ends_ms)
        self._relays.heal(side)

    async def _sleep_until(self, at_ms: int) -> None:
        await trio.sleep(max(0, self._genesis_ms + at_ms - self._clock()) / 1000)
