"""The parameters of the gossip router, with defaults for a network of 8 to 100 peers."""

from dataclasses import dataclass

from p2pverify.core.gossip_types import MESSAGE_BYTES_MAX, RPC_BYTES_MAX, TOPIC_BYTES_MAX


@dataclass(frozen=True, slots=True)
class GossipParams:
    """Names in comments are those of gossipsub v1.0 and v1.1. Times in milliseconds, sizes in bytes.

    Raises ValueError for a set of numbers that contradict each other.
    """

    # The mesh.
    degree: int = 6  # D
    degree_low: int = 4  # D_lo
    degree_high: int = 12  # D_hi
    degree_out: int = 2  # D_out: mesh members that we dialled ourselves
    heartbeat_ms: int = 700
    prune_backoff_ms: int = 15_000
    unsubscribe_backoff_ms: int = 10_000
    backoff_ms_max: int = 3_600_000  # longer wishes of a peer are cut
    backoff_slack_ms: int = 1_000  # we wait longer than agreed, as clocks and links differ
    graft_flood_ms: int = 5_000  # a GRAFT so soon after a PRUNE counts twice

    # Lazy gossip.
    degree_lazy: int = 6  # D_lazy
    gossip_percent: int = 25  # gossip_factor
    history_windows: int = 5  # mcache_len, in heartbeats
    gossip_windows: int = 3  # mcache_gossip
    ihave_messages_max: int = 10  # taken per peer and heartbeat
    ihave_ids_max: int = 5_000  # sent in one frame, and asked for per peer and heartbeat
    iwant_ids_max: int = 5_000  # looked up per peer and heartbeat
    iwant_bytes_max: int = 4 * 1024 * 1024  # answered per peer and heartbeat
    iwant_followup_ms: int = 3_000  # an IHAVE is a promise that holds so long
    iwant_parallel_max: int = 3  # peers asked for one message at a time
    promises_per_peer_max: int = 1_000
    promises_max: int = 50_000
    retransmissions_max: int = 3  # answers with one message to one peer

    # Frames.
    message_bytes_max: int = MESSAGE_BYTES_MAX
    rpc_bytes_max: int = RPC_BYTES_MAX
    rpc_messages_max: int = 512  # in a frame that we send
    rpc_control_max: int = 256  # subscriptions, GRAFTs and PRUNEs (each) that we read in a frame
    batch_ms: int = 0  # hold RPCs back so long to fill frames; 0 sends at the end of each event

    # Memory.
    peers_max: int = 256
    topics_per_peer_max: int = 64
    topic_bytes_max: int = TOPIC_BYTES_MAX
    seen_ttl_ms: int = 120_000
    seen_max: int = 65_536
    mcache_messages_max: int = 8_192
    mcache_bytes_max: int = 32 * 1024 * 1024
    pending_ms: int = 30_000  # a verdict that comes later is no longer waited for
    pending_max: int = 8_192
    pending_per_peer_max: int = 1_024
    pending_bytes_max: int = 32 * 1024 * 1024
    backoffs_max: int = 8_192

    # Faults: rejected messages and abuse of the protocol.
    faults_mesh_max: int = 3  # more: out of the mesh
    faults_max: int = 10  # more: disconnected, and refused until forgiven
    broken_promises_max: int = 20  # more: its IHAVEs are ignored
    forgive_ms: int = 30_000  # one fault of each kind is forgiven so often
    faulty_peers_max: int = 1_024

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is negative")
        rules = (
            (0 < self.degree_low <= self.degree <= self.degree_high, "needs 0 < D_lo <= D <= D_hi"),
            (self.degree_out < self.degree_low, "needs D_out < D_lo"),
            (2 * self.degree_out <= self.degree, "needs D_out <= D / 2"),
            (0 < self.gossip_windows <= self.history_windows, "needs 0 < mcache_gossip <= mcache_len"),
            (self.batch_ms < self.heartbeat_ms, "needs batch_ms < heartbeat_ms"),
            (self.iwant_parallel_max > 0, "needs iwant_parallel_max > 0"),
            (self.rpc_messages_max > 0, "needs rpc_messages_max > 0"),
            (self.faults_mesh_max <= self.faults_max, "needs faults_mesh_max <= faults_max"),
            (
                self.message_bytes_max + self.topic_bytes_max + 1024 <= self.rpc_bytes_max,
                "a message must fit an RPC",
            ),
            (
                36 * self.ihave_ids_max + self.topic_bytes_max + 1024 <= self.rpc_bytes_max,
                "an IHAVE must fit an RPC",
            ),
        )
        for holds, rule in rules:
            if not holds:
                raise ValueError(rule)
