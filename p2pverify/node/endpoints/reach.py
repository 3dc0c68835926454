"""How other peers reach this node, as the network adapter knows it, and as text for people."""

from dataclasses import dataclass
from typing import Literal

ReachState = Literal["direct", "relayed", "unreachable", "unknown"]


@dataclass(frozen=True, slots=True)
class Reach:
    """`asked` peers, each at another address, tried to dial this node, and `reached` of them did.

    `relays` are the addresses at which relays take connections for this node. `serves` is how many peers have reserved
    at this node. `mapped` is the address that the router maps, "" if --upnp is off or does not work; then
    `mapping_failed` may say why. `clocks` peers, each at another address, told their time; their median is
    `clock_ahead_ms` ahead of ours.
    """

    state: ReachState = "unknown"
    listens: bool = True
    asked: int = 0
    reached: int = 0
    relays: tuple[str, ...] = ()
    serves: int = 0
    mapped: str = ""
    mapping_failed: str = ""
    clocks: int = 0
    clock_ahead_ms: int | None = None

    def why(self) -> str:
        """One sentence without a full stop."""
        dialled = f"{self.reached} of {self.asked} peers that tried could dial it"
        if self.state == "direct":
            return dialled
        cause = dialled if self.listens else "it listens nowhere"
        if self.state == "relayed":
            relays = "one relay takes" if len(self.relays) == 1 else f"{len(self.relays)} relays take"
            return f"{cause}, and {relays} its connections"
        if self.state == "unreachable":
            return f"{cause}, and no relay has taken its connections"
        return "no peer has tried yet"

    def advice(self) -> str:
        """What the operator can do; "" if nothing needs doing."""
        if self.state in ("direct", "unknown"):
            return ""
        steps = "forward a port of the router to this node and name it with --announce, or try --upnp"
        if not self.listens:
            steps = "give an address with --listen, and " + steps
        if self.mapping_failed:
            steps += f" (--upnp failed: {self.mapping_failed})"
        if self.state == "relayed":
            return f"for faster connections {steps}"
        return f"{steps}; until then audits of this node fail, unless a connected peer makes them"


UNKNOWN = Reach()
