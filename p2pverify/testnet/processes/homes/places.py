"""Where the peers of a testnet listen, and the command line with which each is started."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from p2pverify.testnet.plan import PeerPlan, Plan
from p2pverify.testnet.processes.fleet import free_ports

_BOOTSTRAP_PEERS = 3


class Places:
    """The addresses of all peers. Each has a loopback address of its own, as on a network.

    So relays can tell peers apart, and every peer is an address group. With `relayed` a TCP relay is in front of each
    peer (see `relay`).
    """

    def __init__(self, plan: Plan, *, relayed: bool) -> None:
        names = [peer.name for peer in plan.peers]
        self._plan = plan
        self._relayed = relayed
        self.hosts: Mapping[str, str] = {name: f"127.0.1.{number + 1}" for number, name in enumerate(names)}
        ports = free_ports(2 * len(names))
        self.ports: Mapping[str, int] = dict(zip(names, ports, strict=False))
        self.relay_ports: Mapping[str, int] = dict(zip(names, ports[len(names) :], strict=True))

    def address(self, peer: PeerPlan) -> str:
        """The address at which others reach a peer."""
        port = (self.relay_ports if self._relayed else self.ports)[peer.name]
        return self.address_at(peer, port)

    def address_at(self, peer: PeerPlan, port: int) -> str:
        """The address of a peer behind another port of its host."""
        return f"/ip4/{self.hosts[peer.name]}/tcp/{port}/p2p/{peer.peer_id}"

    def arguments(self, peer: PeerPlan, home: Path, network_file: Path, first: Sequence[str] = ()) -> list[str]:
        """The command line of a peer's process. `first` are addresses of other first peers than the usual ones."""
        found = ["--home", str(home), "join", str(network_file), "--http", "127.0.0.1:0"]
        if self._plan.listens(peer):
            found += ["--listen", f"/ip4/{self.hosts[peer.name]}/tcp/{self.ports[peer.name]}"]
        if self._relayed:
            found += ["--announce", self.address(peer).removesuffix(f"/p2p/{peer.peer_id}")]
        found += ["--engine", peer.path.engine, "--variant", peer.path.variant]
        if peer.weights is not None:
            found += ["--weights", str(peer.weights)]
        for address in first or map(self.address, self._plan.first_peers(peer)[:_BOOTSTRAP_PEERS]):
            found += ["--bootstrap", address]
        if len(self._plan.peers) == 1:
            found.append("--alone")
        if peer.cheat is not None:
            found += ["--cheat", str(peer.cheat)]
        return found
