"""The last step of a takeover: the honest peers leave with `network fork`, each with the records of its own home."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import trio

from p2pverify.node.files.home import Home
from p2pverify.node.files.networkfile import load_network
from p2pverify.testnet.plan import Plan
from p2pverify.testnet.processes.fleet import Fleet

#: The time between two tries, because peers get the same file only when they hold the same signatures.
_AGAIN_S = 1.0


class Leaver(Protocol):
    """What leaving needs of a testnet."""

    plan: Plan
    directory: Path
    fleet: Fleet

    def home(self, name: str) -> Home: ...


@dataclass(frozen=True, slots=True)
class Departure:
    """A network on which all honest peers agree: its id, and the file of it that each peer of the testnet joins."""

    network: str
    files: Mapping[str, Path]


async def agree(testnet: Leaver) -> Departure:
    """Have each honest peer write the network that goes on without the liars, until all have written the same.

    The cheaters take the file of the first honest peer, because it is no secret.
    """
    honest = [peer.name for peer in testnet.plan.honest]
    written = {name: testnet.directory / f"{name}-fork.toml" for name in honest}
    while True:
        made: dict[str, str | None] = {}

        async def fork(name: str, made: dict[str, str | None] = made) -> None:
            made[name] = await _fork(testnet, name, written[name])

        async with trio.open_nursery() as nursery:
            for name in honest:
                nursery.start_soon(fork, name)
        network = made[honest[0]]
        if network is not None and set(made.values()) == {network}:
            return Departure(
                network, {peer.name: written.get(peer.name, written[honest[0]]) for peer in testnet.plan.peers}
            )
        await trio.sleep(_AGAIN_S)


async def _fork(testnet: Leaver, name: str, file: Path) -> str | None:
    """The id of the network that a peer writes; None if its records have no contested cut yet."""
    arguments = ["--home", str(testnet.home(name).path), "network", "fork", "-o", str(file), "--force"]
    code = await testnet.fleet.run_once(f"{name}-fork", arguments, testnet.directory / f"{name}-fork.log")
    if code != 0:
        return None
    network, _ = await trio.to_thread.run_sync(load_network, file)
    return network.id.hex()
