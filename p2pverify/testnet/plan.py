"""The plan of one run: every peer with its identity and its secret cheat, and the rules in numbers.

`planning` makes it from a scenario, the command line and a seed. The run itself chooses the start of epoch 0 and the
ports of the peers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from p2pverify.core.contract.classes import Across
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.encoding.sign import public_key
from p2pverify.engine.cheats.kinds import CheaterFate
from p2pverify.engine.cheats.spec import CheatSpec
from p2pverify.node.engines.kinds import BUNDLED_MB, EngineKind
from p2pverify.node.user_error import UserError
from p2pverify.testnet.faults import Fault, FaultPlan, plan_faults
from p2pverify.testnet.lasting import LastingRoles
from p2pverify.testnet.scenario import CaseTable, ClientsTable, LastingTable, PathTable, UpgradeTable

#: The cheat that lies only to clients.
TO_CLIENTS = "lies-to-clients"
#: Fates of cheaters that answer honestly and must not be convicted.
UPRIGHT = (CheaterFate.DROPPED, CheaterFate.UNPAID, CheaterFate.UNCOUNTED, CheaterFate.LATE)


class PlanError(UserError):
    """The request makes no testnet. `reason` says why, and `hint` says what to do."""


@dataclass(frozen=True, slots=True)
class PeerPlan:
    """One peer. `cheat` is the ground truth, and no other peer learns it.

    `weights` is the file of the model that it serves; None stands for the usual model of its engine.
    """

    name: str
    seed: bytes  # 32 B, of the identity
    key: bytes
    peer_id: str
    cheat: CheatSpec | None
    path: PathTable
    weights: Path | None = None
    next_seed: bytes | None = None  # 32 B, of the identity to which it moves in a run

    @property
    def weights_mb(self) -> float:
        """The size of the weights in MB. Raises OSError if the file is gone."""
        return size_mb(self.weights)

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The keys that it has in a run, one after the other."""
        return (self.key,) if self.next_seed is None else (self.key, public_key(self.next_seed))

    @property
    def peer_ids(self) -> tuple[str, ...]:
        """The peer ids of its keys."""
        return tuple(map(peer_id, self.keys))

    @property
    def is_honest(self) -> bool:
        return self.cheat is None

    @property
    def label(self) -> str:
        """The name, with the cheat of a peer that cheats."""
        return self.name if self.cheat is None else f"{self.name} ({self.cheat.label})"


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole run. `rules` has the fields of Params without `genesis_ms`. `warnings` are sentences for people.
    `founders` have weight from the start.

    `is_epoch_given` and `is_timeout_given`: the user chose exactly this value. `faults` were planned from `schedule`.
    """

    seed: int
    timeout_s: float
    engine: EngineKind
    epochs_without_cheaters: int
    rules: Mapping[str, int]
    honest_ppm: int
    peers: tuple[PeerPlan, ...]
    founders: tuple[PeerPlan, ...]
    warnings: tuple[str, ...] = ()
    faults: tuple[FaultPlan, ...] = ()
    hardware: str = ""  # the hardware claim of all peers
    referee: str = ""
    across: Across | None = None
    schedule: tuple[Fault, ...] = ()
    is_epoch_given: bool = False
    is_timeout_given: bool = False
    clients: ClientsTable | None = None
    upgrade: UpgradeTable | None = None
    case: CaseTable | None = None
    lasting: LastingTable | None = None
    roles: LastingRoles | None = None

    @property
    def models(self) -> tuple[Path | None, ...]:
        """The weights of all models; None stands for the usual model of the engine."""
        return tuple(dict.fromkeys(peer.weights for peer in self.peers))

    def with_epochs(self, epoch_ms: int) -> "Plan":
        """The same run in epochs of another length. A timeout that was not given changes in proportion."""
        ratio = 1.0 if self.is_timeout_given else epoch_ms / self.epoch_ms
        names = [peer.name for peer in self.peers]
        return replace(
            self,
            rules={**self.rules, "epoch_ms": epoch_ms},
            timeout_s=self.timeout_s * ratio,
            faults=plan_faults(self.schedule, names, epoch_ms=epoch_ms, seed=self.seed),
        )

    @property
    def has_paths(self) -> bool:
        """Whether peers run on numeric paths of several classes."""
        return len({peer.path for peer in self.peers}) > 1

    @property
    def honest(self) -> tuple[PeerPlan, ...]:
        return tuple(peer for peer in self.peers if peer.is_honest)

    @property
    def witnesses(self) -> tuple[PeerPlan, ...]:
        """The honest peers that run to the end. Their views are compared."""
        return tuple(peer for peer in self.honest if self.roles is None or peer.name != self.roles.relay)

    @property
    def starters(self) -> tuple[PeerPlan, ...]:
        """The peers that run from the beginning."""
        return tuple(peer for peer in self.peers if self.roles is None or peer.name not in self.roles.late)

    def listens(self, peer: PeerPlan) -> bool:
        """Whether others can dial a peer."""
        return self.roles is None or peer.name != self.roles.hidden

    def first_peers(self, peer: PeerPlan) -> tuple[PeerPlan, ...]:
        """The peers that a peer can name as its first ones: all others, or those that stay where they are.

        A peer behind relays begins with the one that will end.
        """
        others = tuple(other for other in self.peers if other is not peer)
        if self.roles is None:
            return others
        steady = tuple(other for other in others if other.is_honest and other.name not in self.roles)
        return (self.peer(self.roles.relay), *steady[:1]) if not self.listens(peer) else steady

    @property
    def askers(self) -> tuple[PeerPlan, ...]:
        """The honest peers whose nodes have clients."""
        return () if self.clients is None else self.honest[: self.clients.nodes]

    @property
    def publisher(self) -> PeerPlan:
        """The honest peer that has the weights of version 1 first, and carries what the publishers sign."""
        return self.honest[0]

    @property
    def late(self) -> tuple[PeerPlan, ...]:
        """The peers whose operators move to another version themselves. They answer honestly."""
        others = (peer for peer in self.peers if peer is not self.publisher and self._answers_honestly(peer))
        return () if self.upgrade is None else tuple(others)[-self.upgrade.late :] if self.upgrade.late else ()

    @property
    def upright(self) -> tuple[PeerPlan, ...]:
        """The peers that answer honestly, whatever else they do."""
        return tuple(filter(self._answers_honestly, self.peers))

    @staticmethod
    def _answers_honestly(peer: PeerPlan) -> bool:
        return peer.cheat is None or peer.cheat.fate in UPRIGHT

    @property
    def cheaters(self) -> tuple[PeerPlan, ...]:
        return tuple(peer for peer in self.peers if not peer.is_honest)

    def peer(self, name: str) -> PeerPlan:
        """The peer of a name."""
        return next(peer for peer in self.peers if peer.name == name)

    def expected(self, fate: CheaterFate) -> tuple[PeerPlan, ...]:
        """The cheaters with this expected fate."""
        return tuple(peer for peer in self.peers if peer.cheat is not None and peer.cheat.fate is fate)

    @property
    def takes_over(self) -> bool:
        """Whether cheaters buy a majority, so that the honest peers have to stop the network."""
        return bool(self.expected(CheaterFate.CONTESTED))

    @property
    def epoch_ms(self) -> int:
        return self.rules["epoch_ms"]

    @property
    def calm_epoch(self) -> int:
        """The first epoch that begins after all faults."""
        return max((-(-fault.ends_ms // self.epoch_ms) for fault in self.faults), default=0)


def size_mb(weights: Path | None) -> float:
    """The size of a file of weights in MB; None is the bundled one. Raises OSError if the file is gone."""
    return BUNDLED_MB if weights is None else weights.stat().st_size / 1e6
