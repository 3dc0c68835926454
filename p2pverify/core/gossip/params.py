"""The parameters of the gossip router, with defaults for a network of 8 to 100 peers."""

from dataclasses import dataclass

from p2pverify.core.gossip.types import MESSAGE_BYTES_MAX, RPC_BYTES_MAX, TOPIC_BYTES_MAX


def _require_rules(rules: tuple[tuple[bool, str], ...]) -> None:
    for holds, rule in rules:
        if not holds:
            raise ValueError(rule)


def _require_natural(params: object, names: list[str] | tuple[str, ...]) -> None:
    for name in names:
        if getattr(params, name) < 0:
            raise ValueError(f"{name} is negative")


def _require_positive(params: object, names: tuple[str, ...]) -> None:
    for name in names:
        if getattr(params, name) <= 0:
            raise ValueError(f"{name} is not positive")


@dataclass(frozen=True, slots=True)
class ScoreParams:
    """Peer scores (gossipsub v1.1, "Peer Scoring"): weights, counters, caps and scores in thousandths.

    A decay is the share of a counter that is left after each decay interval, in millionths. Penalties have negative
    weights. Raises ValueError if numbers contradict each other.
    """

    decay_ms: int = 1_000  # DecayInterval
    zero: int = 10  # DecayToZero
    retain_ms: int = 300_000  # RetainScore
    retained_max: int = 1_024

    topic_weight: int = 1_000  # TopicWeight of every topic that we subscribe to
    topic_cap: int = 6_000  # TopicCap: greatest sum over all topics
    time_weight: int = 50  # P1
    time_quantum_ms: int = 15_000
    time_cap: int = 20  # quanta
    first_weight: int = 250  # P2
    first_decay: int = 990_000
    first_cap: int = 20_000
    # P3 and P3b are off: hours may pass without a record, so no delivery rate can be expected.
    delivery_weight: int = 0  # P3
    delivery_decay: int = 970_000
    delivery_threshold: int = 4_000
    delivery_cap: int = 20_000
    delivery_activation_ms: int = 30_000
    delivery_window_ms: int = 10  # after our verdict
    failure_weight: int = 0  # P3b
    failure_decay: int = 990_000
    invalid_weight: int = -2_000  # P4
    invalid_decay: int = 990_000

    application_weight: int = 1_000  # P5
    appraised_max: int = 4_096
    colocation_weight: int = -1_000  # P6
    colocation_threshold: int = 10  # peers of one IPv4 address, or of one IPv6 /64
    colocation_free: tuple[str, ...] = ("127.0.0.0/8", "::1/128")  # testnets
    behaviour_weight: int = -1_000  # P7
    behaviour_threshold: int = 6_000
    behaviour_decay: int = 960_000
    malformed_penalty: int = 4_000  # added to P7 for a frame that is no RPC; other misbehaviour adds 1

    # A score below a threshold has the consequence in its name. A peer with a score below 0 is in no mesh.
    gossip_threshold: int = -10_000
    publish_threshold: int = -30_000
    graylist_threshold: int = -60_000
    disconnect_threshold: int = -100_000
    opportunistic_graft_threshold: int = 1_000  # of the median

    def __post_init__(self) -> None:
        decays = (self.first_decay, self.delivery_decay, self.failure_decay, self.invalid_decay, self.behaviour_decay)
        penalties = ("delivery_weight", "failure_weight", "invalid_weight", "colocation_weight", "behaviour_weight")
        _require_positive(self, ("decay_ms", "time_quantum_ms", "colocation_threshold"))
        rules = (
            (all(getattr(self, name) <= 0 for name in penalties), "penalties need weights of 0 or less"),
            (all(0 <= decay < 1_000_000 for decay in decays), "needs 0 <= decay < 1"),
            (self.delivery_threshold <= self.delivery_cap, "needs delivery_threshold <= delivery_cap"),
            (
                self.disconnect_threshold
                <= self.graylist_threshold
                < self.publish_threshold
                <= self.gossip_threshold
                < 0
                <= self.opportunistic_graft_threshold,
                "needs disconnect <= graylist < publish <= gossip < 0 <= opportunistic graft",
            ),
        )
        _require_rules(rules)
        _require_natural(
            self,
            (
                "zero",
                "retain_ms",
                "retained_max",
                "topic_weight",
                "topic_cap",
                "time_weight",
                "time_cap",
                "first_weight",
                "first_cap",
                "delivery_threshold",
                "delivery_activation_ms",
                "delivery_window_ms",
                "application_weight",
                "appraised_max",
                "behaviour_threshold",
                "malformed_penalty",
            ),
        )


@dataclass(frozen=True, slots=True)
class GossipParams:
    """Names in comments are those of gossipsub v1.0 and v1.1. Times in milliseconds, sizes in bytes.

    Raises ValueError if numbers contradict each other.
    """

    # The mesh.
    degree: int = 6  # D
    degree_low: int = 4  # D_lo
    degree_high: int = 12  # D_hi
    degree_out: int = 2  # D_out: mesh members that we dialled ourselves
    degree_score: int = 4  # D_score: the best, kept when there are too many
    heartbeat_ms: int = 700
    prune_backoff_ms: int = 15_000
    unsubscribe_backoff_ms: int = 10_000
    backoff_ms_max: int = 3_600_000  # a peer's request for more is cut to this
    backoff_slack_ms: int = 1_000  # we wait this much longer than agreed, because clocks and links differ
    graft_flood_ms: int = 5_000  # a GRAFT within this time after a PRUNE counts twice
    opportunistic_graft_heartbeats: int = 85  # about a minute
    opportunistic_graft_peers: int = 2
    flood_publish: bool = True
    fanout_ms: int = 60_000  # fanout_ttl; without flood publishing

    # Lazy gossip.
    degree_lazy: int = 6  # D_lazy
    gossip_percent: int = 25  # gossip_factor
    history_windows: int = 5  # mcache_len, in heartbeats
    gossip_windows: int = 3  # mcache_gossip
    ihave_messages_max: int = 10  # taken per peer and heartbeat
    ihave_flood_max: int = 100  # each one beyond, per peer and heartbeat, is misbehaviour
    ihave_ids_max: int = 5_000  # sent in one frame, and asked for per peer and heartbeat
    iwant_ids_max: int = 5_000  # looked up per peer and heartbeat
    iwant_bytes_max: int = 4 * 1024 * 1024  # answered per peer and heartbeat
    iwant_followup_ms: int = 3_000  # an IHAVE is a promise for this time
    iwant_parallel_max: int = 3  # peers asked for one message at a time
    promises_per_peer_max: int = 1_000
    promises_max: int = 50_000
    retransmissions_max: int = 3  # answers with one message to one peer

    # IDONTWANT of gossipsub v1.2, in use if frames are batched.
    idontwant_bytes_min: int = 200  # smaller messages are forwarded at once
    idontwant_ids_max: int = 2_048  # noted per peer and heartbeat

    # Frames.
    message_bytes_max: int = MESSAGE_BYTES_MAX
    rpc_bytes_max: int = RPC_BYTES_MAX
    rpc_messages_max: int = 512  # in a frame that we send
    rpc_control_max: int = 256  # subscriptions, GRAFTs and PRUNEs (each) that we read in a frame
    batch_ms: int = 0  # RPCs wait this long to fill frames; 0 sends at the end of each event
    batch_at_rest: bool = True  # if not, the first RPC after a pause leaves at once

    # Memory.
    peers_max: int = 256
    topics_per_peer_max: int = 64
    topic_bytes_max: int = TOPIC_BYTES_MAX
    seen_ttl_ms: int = 120_000  # at least this long, at most twice
    seen_max: int = 65_536
    mcache_messages_max: int = 8_192
    mcache_bytes_max: int = 32 * 1024 * 1024
    pending_ms: int = 30_000  # a later verdict has no effect
    pending_max: int = 8_192
    pending_per_peer_max: int = 1_024
    pending_bytes_max: int = 32 * 1024 * 1024
    backoffs_max: int = 8_192
    excluded_max: int = 65_536

    score: ScoreParams = ScoreParams()

    def __post_init__(self) -> None:
        _require_natural(
            self, [name for name in self.__slots__ if name not in {"score", "flood_publish", "batch_at_rest"}]
        )
        rules = (
            (0 < self.degree_low <= self.degree <= self.degree_high, "needs 0 < D_lo <= D <= D_hi"),
            (self.degree_out < self.degree_low, "needs D_out < D_lo"),
            (2 * self.degree_out <= self.degree, "needs D_out <= D / 2"),
            (self.degree_score <= self.degree, "needs D_score <= D"),
            (0 < self.gossip_windows <= self.history_windows, "needs 0 < mcache_gossip <= mcache_len"),
            (self.batch_ms < self.heartbeat_ms, "needs batch_ms < heartbeat_ms"),
            (
                self.message_bytes_max + self.topic_bytes_max + 1024 <= self.rpc_bytes_max,
                "a message must fit an RPC",
            ),
            (
                36 * self.ihave_ids_max + self.topic_bytes_max + 1024 <= self.rpc_bytes_max,
                "an IHAVE must fit an RPC",
            ),
        )
        _require_rules(rules)
        _require_positive(self, ("iwant_parallel_max", "rpc_messages_max", "opportunistic_graft_heartbeats"))
