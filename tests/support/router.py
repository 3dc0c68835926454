"""One gossip router that a test drives by hand: its clock, its last effects, and peers that join it."""

from hashlib import sha256

from p2pverify.core.errors import GossipVerdict
from p2pverify.core.gossip.params import GossipParams
from p2pverify.core.gossip.router import Router
from p2pverify.core.gossip.types import (
    Deliver,
    Disconnect,
    Effect,
    Event,
    GossipMessage,
    GossipTick,
    MessageVerdict,
    PeerConnected,
    Rpc,
    RpcReceived,
    SendRpc,
    Subscribe,
    message_id,
    records_topic,
)

TOPIC = records_topic(bytes(32))
OWN = b"\xff" * 32
ALICE, BOB, CAROL = (sha256(name).digest() for name in (b"alice", b"bob", b"carol"))
PARAMS = GossipParams()


def peer(number: int) -> bytes:
    return number.to_bytes(32, "big")


class Bench:
    """A router, its clock, and its last effects."""

    def __init__(self, params: GossipParams = PARAMS, *, topic: str | None = TOPIC) -> None:
        self.router = Router(params, own=OWN, seed=1)
        self.params = params
        self.now_ms = 1_000
        self.effects: list[Effect] = []
        if topic is not None:
            self(Subscribe(topic))

    def __call__(self, event: Event) -> list[Effect]:
        self.effects = self.router.handle(event, self.now_ms)
        return self.effects

    def rpc(self, source: bytes, **parts: object) -> list[Effect]:
        return self(RpcReceived(source, Rpc(**parts)))  # type: ignore[arg-type]

    def message(self, source: bytes, data: bytes, topic: str = TOPIC) -> list[Effect]:
        return self.rpc(source, publish=(GossipMessage(topic, data),))

    def judge(self, data: bytes, verdict: GossipVerdict = GossipVerdict.ACCEPT) -> list[Effect]:
        return self(MessageVerdict(message_id(data), verdict))

    def join(self, *peers: bytes, outbound: bool = False, ip: str = "", hears_idontwant: bool = False) -> None:
        for one in peers:
            self(PeerConnected(one, outbound, ip, hears_idontwant))
            self.rpc(one, subscriptions=((True, TOPIC),))

    def wait(self, for_ms: int) -> list[Effect]:
        """Let time pass, with a tick whenever one is due. Returns the effects of all ticks."""
        end_ms, effects = self.now_ms + for_ms, []
        while (due_ms := self.router.next_wakeup_ms()) <= end_ms:
            self.now_ms = max(self.now_ms, due_ms)
            effects += self(GossipTick())
        self.now_ms, self.effects = end_ms, effects
        return effects

    def beat(self) -> list[Effect]:
        """Run until the next heartbeat has happened."""
        before = self.stat("heartbeats")
        while self.stat("heartbeats") == before:
            self.now_ms = max(self.now_ms, self.router.next_wakeup_ms())
            self(GossipTick())
        return self.effects

    def stat(self, name: str) -> int:
        return self.router.statistics()[name]

    def sent(self, to: bytes) -> list[Rpc]:
        return [e.rpc for e in self.effects if isinstance(e, SendRpc) and e.peer == to]

    def data_sent(self, to: bytes) -> list[bytes]:
        return [message.data for rpc in self.sent(to) for message in rpc.publish]

    def delivered(self) -> list[bytes]:
        return [e.data for e in self.effects if isinstance(e, Deliver)]

    def ended(self) -> list[bytes]:
        return [e.peer for e in self.effects if isinstance(e, Disconnect)]

    @property
    def mesh(self) -> tuple[bytes, ...]:
        return self.router.mesh_peers(TOPIC)
