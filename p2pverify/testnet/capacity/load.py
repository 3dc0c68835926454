"""What a plan asks of the machine that all its peers share, and what a machine can hold; in figures, without measuring.

An epoch costs three things. Engines: every member audits and is audited, and every open dispute has all members answer
one question, so work grows with peers times disputes. Records: each member's go to each member, so they grow with the
square of the peers. And what a peer does though nothing happens. Constants are CPU seconds of an idle machine whose
`slowness` is 1; `machine` measures what another one needs for the same.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from p2pverify.engine.cheats.kinds import CheaterFate
from p2pverify.node.engines.kinds import ENGINES, EngineKind, EngineLoad
from p2pverify.testnet.plan import Plan, PlanError
from p2pverify.testnet.scenario import PEERS_MIN

#: Of the cores' time: peers also wait for one another.
_USABLE = 0.9
#: Beyond this an epoch is refused: a verdict needs a dozen.
EPOCH_MS_MAX = 60_000
_ROUND_MS = 100
#: Seconds for the records of one member at one other, per epoch; for a peer's upkeep, per second; for a connection.
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
#: To read a token of a prompt, in those that are written.
_READ_TOKENS = 0.5


@dataclass(frozen=True, slots=True)
class MeasuredMachine:
    """What was measured while all cores worked. `token_s` is the CPU time of one token that llama.cpp writes, 0 if none
    was; `slowness` is how many times more CPU time than the reference machine it needs for Python; `others` is how many
    processes that are not ours want a core all the time."""

    cores: float
    token_s: float = 0.0
    slowness: float = 1.0
    others: float = 0.0

    def capacity(self, count: int) -> float:
        """The cores that so many peers get together, half of which want one at a time."""
        wanting = max(self.cores, count / 2)
        return _USABLE * self.cores * wanting / (wanting + self.others)


@dataclass(frozen=True, slots=True)
class Need:
    """What a plan needs on a machine: CPU seconds per epoch, CPU seconds per second, and the epoch that has room."""

    per_epoch_s: float
    per_second: float
    epoch_ms: float


def load_of(kind: EngineKind) -> EngineLoad:
    """What a peer with an engine costs."""
    found = ENGINES[kind].load
    assert found is not None  # scenarios name no other engine
    return found


def memory_mb(plan: Plan, count: int) -> float:
    """Megabytes that the processes of so many peers of a plan need."""
    own = sum(load_of(peer.path.engine).peer_mb for peer in plan.peers)
    second = sum(load_of(peer.path.engine).second_mb for peer in plan.cheaters)
    each = (own + second) / len(plan.peers)
    return _RUNNER_MB + count * (each + _LINK_MB * (count - 1))


def check_memory(plan: Plan, available_mb: float) -> None:
    """Raises PlanError if the peers do not fit into the memory that is available."""
    count = len(plan.peers)
    needed_mb = memory_mb(plan, count)
    if needed_mb > available_mb:
        raise PlanError(
            f"{count} peers need about {_gb(needed_mb)} of memory, and this machine has {_gb(available_mb)} to spare",
            _fewer(plan, lambda fewer: memory_mb(plan, fewer) <= available_mb),
        )


def need(plan: Plan, machine: MeasuredMachine, count: int) -> Need:
    """What so many peers of a plan need on a machine."""
    engines_s = _tokens(plan, count) * machine.token_s
    records_s = _RECORDS_S * count * count * machine.slowness
    upkeep = _UPKEEP_S * count * machine.slowness
    room = machine.capacity(count) - upkeep
    per_epoch_s = engines_s + records_s
    return Need(per_epoch_s, upkeep, 1000 * per_epoch_s / room if room > 0 else math.inf)


def fit(plan: Plan, machine: MeasuredMachine) -> Plan:
    """The plan with epochs that the machine can hold: longer ones, if the plan's are too short.

    Raises PlanError if they would be longer than EPOCH_MS_MAX.
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
    """Milliseconds until all peers serve their APIs and are connected. `is_tested`: after golden questions."""
    count = len(plan.peers)
    work_s = sum(load_of(peer.path.engine).start_s for peer in plan.peers) + _LINK_S * count * (count - 1) / 2
    alone_s = _START_MARGIN_S + (_SELFTEST_S if is_tested else 0.0)
    return math.ceil(1000 * (work_s * machine.slowness / machine.capacity(count) + alone_s))


def _tokens(plan: Plan, count: int) -> float:
    """Tokens that all engines write in an epoch in which as many disputes open as may be expected."""
    rules = plan.rules
    prompt, answer = rules["prompt_tokens"], rules["answer_tokens"]
    slots, asked = rules["slots_milli"] / 1000, (1 + rules["panel_size"]) / 2
    across = rules["across_percent"] / 100 if plan.referee else 0.0
    own = sum(load_of(peer.path.engine).token for peer in plan.peers) / len(plan.peers)
    # Within a class one answers oneself. Across classes the referee, in exact arithmetic, writes the prompt and then
    # reads each claimed answer in one pass.
    referee = load_of(ENGINES[plan.engine].judge).token
    writes = prompt * ((1 - across) * own + across * referee) + answer * (1 - across) * own
    reads = across * (prompt + answer)
    challenge = writes + asked * reads
    respond = asked * own * (answer + _READ_TOKENS * prompt)
    return count * (slots * (challenge + respond) + _disputes(plan) * (writes + reads))


def _disputes(plan: Plan) -> float:
    """Disputes that open in an epoch on average, until all are convicted: at most one of each cheater."""
    chances = 2.5 * plan.rules["slots_milli"] / 1000  # of a cheater: to challenge, and to be asked
    liars = plan.expected(CheaterFate.CONVICTED)
    lies = sum(min(1.0, chances * peer.cheat.rate) for peer in liars if peer.cheat is not None)
    return _DISPUTED * min(float(plan.rules["disputes_per_cut"]), lies)


def _fewer(plan: Plan, fits: Callable[[int], bool]) -> str:
    """What to try instead: the most peers that fit, honest ones being more than cheaters."""
    found = [count for count in range(max(PEERS_MIN, 2 * len(plan.cheaters) + 1), len(plan.peers)) if fits(count)]
    return f"try --peers {found[-1]}" if found else "try fewer peers and cheaters, or a larger machine"


def _gb(megabytes: float) -> str:
    return f"{megabytes / 1000:.1f} GB"
