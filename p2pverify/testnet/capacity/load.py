"""The load of a plan on the machine that all its peers share, and the capacity of a machine, by calculation.

An epoch has three costs:

- engines: every member audits and is audited, and in every open dispute all members answer one question, so this work
  grows with peers times disputes;
- records: each member's records go to each member, so this work grows with the square of the peers;
- upkeep: the work of a peer when nothing happens.

Constants are CPU seconds of an idle machine with `slowness` 1. `machine` measures the slowness of another machine.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from p2pverify.core.contract.lengths import expected_tokens
from p2pverify.engine.cheats.kinds import CheaterFate
from p2pverify.node.engines.kinds import BUNDLED_MB, ENGINES, REFEREES, EngineKind, EngineLoad
from p2pverify.node.files.networkfile import read_params
from p2pverify.testnet.plan import PeerPlan, Plan, PlanError, size_mb
from p2pverify.testnet.scenario import PEERS_MIN

#: The usable share of the cores' time, because peers also wait for one another.
_USABLE = 0.9
#: A longer epoch is refused, because a verdict needs about a dozen epochs.
EPOCH_MS_MAX = 60_000
_ROUND_MS = 100
#: CPU seconds: for the records of one member at one other member, per epoch; for a peer's upkeep, per second; for a
#: connection.
_RECORDS_S = 0.012
_UPKEEP_S = 0.012
_LINK_S = 0.025
_SELFTEST_S = 15.0  # of the slowest path that is known, beside others
_START_MARGIN_S = 1.0
#: Memory of a peer for each connection, and of the runner.
_LINK_MB = 0.45
_RUNNER_MB = 250.0
#: Of the epochs until a cheater is convicted, those in which a dispute with it opens.
_DISPUTED = 0.6
#: The prompt of a client: a word and a number.
_CLIENT_PROMPT_TOKENS = 4
#: To read a token of a prompt, in those that are written.
_READ_TOKENS = 0.5


@dataclass(frozen=True, slots=True)
class MeasuredMachine:
    """Measurements while all cores worked.

    `token_s` is the CPU time (s) of one token that llama.cpp writes, 0 if not measured. `slowness` is the CPU time for
    Python in multiples of the reference machine's. `others` is the number of other programs' processes that want a core
    all the time.
    """

    cores: float
    token_s: float = 0.0
    slowness: float = 1.0
    others: float = 0.0

    def capacity(self, count: int) -> float:
        """The cores that `count` peers get together, if half of them want a core at a time."""
        wanting = max(self.cores, count / 2)
        return _USABLE * self.cores * wanting / (wanting + self.others)


@dataclass(frozen=True, slots=True)
class Need:
    """The need of a plan on a machine: CPU seconds per epoch, CPU seconds per second, and the shortest epoch (ms)."""

    per_epoch_s: float
    per_second: float
    epoch_ms: float


def load_of(kind: EngineKind) -> EngineLoad:
    """What a peer with an engine costs."""
    found = ENGINES[kind].load
    assert found is not None  # scenarios name no other engine
    return found


def _referee_kind(plan: Plan) -> EngineKind:
    """The kind of the plan's referee, or of the usual one."""
    return REFEREES.get(plan.referee, ENGINES[plan.engine].judge)


def _referee_mb(plan: Plan, peer: PeerPlan) -> float:
    """The memory of a peer's referee beside its own engine. The exact referee maps its weights, and shares them."""
    kind = _referee_kind(plan)
    is_own = peer.path.engine == kind and not peer.path.variant.removeprefix("wheel")
    return 0.0 if not plan.referee or kind == "exact" or is_own else load_of(kind).memory_mb(peer.weights_mb)


def memory_mb(plan: Plan, count: int) -> float:
    """The memory in MB that the processes of `count` peers of a plan need."""
    own = sum(load_of(peer.path.engine).memory_mb(peer.weights_mb) for peer in plan.peers)
    twice = plan.cheaters if plan.upgrade is None else plan.peers  # those with a second model
    second = sum(load_of(peer.path.engine).second_mb * peer.weights_mb for peer in twice) / BUNDLED_MB
    judging = sum(_referee_mb(plan, peer) for peer in plan.peers)
    each = (own + second + judging) / len(plan.peers)
    # Peers map the same files of weights. Their pages beyond those of the bundled model are counted once.
    mapped = sum(map(size_mb, plan.models)) - BUNDLED_MB
    return _RUNNER_MB + max(0.0, mapped) + count * (each + _LINK_MB * (count - 1))


def check_memory(plan: Plan, available_mb: float) -> None:
    """Raises PlanError if the peers need more than the available memory."""
    count = len(plan.peers)
    needed_mb = memory_mb(plan, count)
    if needed_mb > available_mb:
        raise PlanError(
            f"{count} peers need about {_gb(needed_mb)} of memory, and this machine has {_gb(available_mb)} to spare",
            _fewer(plan, lambda fewer: memory_mb(plan, fewer) <= available_mb),
        )


def need(plan: Plan, machine: MeasuredMachine, count: int) -> Need:
    """The need of `count` peers of a plan on a machine."""
    engines_s = (_tokens(plan, count) + _client_tokens(plan)) * machine.token_s
    records_s = _RECORDS_S * count * count * machine.slowness
    upkeep = _UPKEEP_S * count * machine.slowness
    room = machine.capacity(count) - upkeep
    per_epoch_s = engines_s + records_s
    return Need(per_epoch_s, upkeep, 1000 * per_epoch_s / room if room > 0 else math.inf)


def fit(plan: Plan, machine: MeasuredMachine) -> Plan:
    """The plan with epochs that the machine can sustain. They are longer if the plan's epochs are too short.

    Raises PlanError if they would have to be longer than EPOCH_MS_MAX and the plan's epochs.
    """
    count = len(plan.peers)
    needed = need(plan, machine, count)
    if needed.epoch_ms <= plan.epoch_ms:
        return plan
    longest_ms = max(EPOCH_MS_MAX, plan.epoch_ms)
    if needed.epoch_ms > longest_ms:
        fewer = _fewer(plan, lambda fewer: need(plan, machine, fewer).epoch_ms <= longest_ms)
        raise PlanError(
            f"{count} peers need about {needed.per_epoch_s:.0f} s of CPU in each epoch and {needed.per_second:.1f} "
            f"cores all the time, and this machine has {machine.capacity(count):.1f} cores for them: an epoch would "
            f"take longer than {longest_ms // 1000} s",
            f"{fewer}, or give --epoch-ms to try it all the same",
        )
    return plan.with_epochs(math.ceil(needed.epoch_ms / _ROUND_MS) * _ROUND_MS)


def start_ms(plan: Plan, machine: MeasuredMachine, *, is_tested: bool) -> int:
    """Milliseconds until all peers serve their APIs and are connected. With `is_tested` a self-test comes first."""
    count = len(plan.peers)
    work_s = sum(load_of(peer.path.engine).start_s for peer in plan.peers) + _LINK_S * count * (count - 1) / 2
    alone_s = _START_MARGIN_S + (_SELFTEST_S if is_tested else 0.0)
    return math.ceil(1000 * (work_s * machine.slowness / machine.capacity(count) + alone_s))


def _tokens(plan: Plan, count: int) -> float:
    """The tokens that all engines write in an epoch with the expected number of disputes."""
    rules = plan.rules
    prompt, answer = rules["prompt_tokens"], float(expected_tokens(read_params({"genesis_ms": 0, **rules})))
    slots, asked = rules["slots_milli"] / 1000, (1 + rules["panel_size"]) / 2
    across = rules["across_percent"] / 100 if plan.referee else 0.0
    own = sum(load_of(peer.path.engine).token for peer in plan.peers) / len(plan.peers)
    # Within a class one answers oneself. Across classes the referee writes the prompt, and then reads each claimed
    # answer in one pass.
    referee = load_of(_referee_kind(plan)).token
    writes = prompt * ((1 - across) * own + across * referee) + answer * (1 - across) * own
    reads = across * (prompt + answer)
    challenge = writes + asked * reads
    respond = asked * own * (answer + _READ_TOKENS * prompt)
    return count * (slots * (challenge + respond) + _disputes(plan) * (writes + reads))


def _client_tokens(plan: Plan) -> float:
    """The tokens of an epoch's requests of clients: each is answered, and a share is scored again."""
    if plan.clients is None:
        return 0.0
    own = sum(load_of(peer.path.engine).token for peer in plan.peers) / len(plan.peers)
    request = plan.clients.answer_tokens + _READ_TOKENS * _CLIENT_PROMPT_TOKENS
    return own * plan.clients.requests * request * (1 + plan.clients.audit_rate)


def _disputes(plan: Plan) -> float:
    """The average number of new disputes in an epoch before all cheaters are convicted: at most one per cheater."""
    chances = 2.5 * plan.rules["slots_milli"] / 1000  # a cheater's chances to challenge and to be asked
    liars = plan.expected(CheaterFate.CONVICTED)
    lies = sum(min(1.0, chances * peer.cheat.rate) for peer in liars if peer.cheat is not None)
    return _DISPUTED * min(float(plan.rules["disputes_per_cut"]), lies)


def _fewer(plan: Plan, fits: Callable[[int], bool]) -> str:
    """Advice for the user: the most peers that fit, with more honest peers than cheaters."""
    found = [count for count in range(max(PEERS_MIN, 2 * len(plan.cheaters) + 1), len(plan.peers)) if fits(count)]
    return f"try --peers {found[-1]}" if found else "try fewer peers and cheaters, or a larger machine"


def _gb(megabytes: float) -> str:
    return f"{megabytes / 1000:.1f} GB"
