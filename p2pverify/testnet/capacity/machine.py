"""Measures the machine that a testnet's peers will share: its cores, its memory, and its speed beside other programs.

A single process finds a machine faster than peers that keep all cores busy. So all other cores work during the
measurement. CPU time is compared with the clock, because time that other programs or the host of a virtual machine take
is not available to the peers either.
"""

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, process_time

from p2pverify.core.contract.output import Ask
from p2pverify.core.encoding import canon, sign
from p2pverify.engine.registry import EngineOpening, open_engine
from p2pverify.node.engines.kinds import LOCAL_KINDS
from p2pverify.testnet.capacity.load import MeasuredMachine, load_of
from p2pverify.testnet.plan import Plan, size_mb

#: The most busy processes. More would take long to start and give no better result.
_BUSY_MAX = 15
#: A program that works until its standard input closes. This happens when this process ends for any reason.
_BUSY = "import select\nwhile not select.select([0], [], [], 0)[0]:\n    for _ in range(10000): pass"
_ROUNDS = 2000
#: CPU seconds of these rounds on the idle reference machine of `load`.
_REFERENCE_S = 0.128
_ANSWERS = 2
_SHARE_MIN = 0.02
_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")


def measure(plan: Plan) -> MeasuredMachine:
    """Measure this machine. Blocks for one or two seconds with a language model. Raises EngineUnavailable."""
    cores = usable_cores()
    with _others_busy(min(_BUSY_MAX, math.ceil(cores) - 1)):
        began, began_cpu = perf_counter(), process_time()
        slowness = _chore_s() / _REFERENCE_S
        token_s = _token_s(plan)
        wall_s, cpu_s = perf_counter() - began, process_time() - began_cpu
    # This process was one of as many busy processes as there are cores. Each got this share of the time.
    share = min(1.0, max(_SHARE_MIN, cpu_s / wall_s))
    return MeasuredMachine(cores, token_s, slowness, cores / share - cores)


def usable_cores(cgroup: Path = _CGROUP) -> float:
    """The number of cores that this process may use, limited by its affinity and its container."""
    cores = float(len(os.sched_getaffinity(0)))
    try:
        quota, period = (cgroup / "cpu.max").read_text(encoding="ascii").split()
        return cores if quota == "max" else min(cores, int(quota) / int(period))
    except (OSError, ValueError):
        return cores


def available_mb(cgroup: Path = _CGROUP, meminfo: Path = _MEMINFO) -> float:
    """The memory in MB that is available without swapping, limited by the container; inf if unknown."""
    found = [math.inf]
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text(encoding="ascii").splitlines())
        found.append(int(lines["MemAvailable"].split()[0]) * 1024 / 1e6)
    except (OSError, ValueError, KeyError):
        pass
    try:
        most, used = ((cgroup / name).read_text(encoding="ascii").strip() for name in ("memory.max", "memory.current"))
        found.append((int(most) - int(used)) / 1e6)
    except (OSError, ValueError):  # "max" is not a number
        pass
    return min(found)


@contextmanager
def _others_busy(count: int) -> Iterator[None]:
    """Keep `count` other processes busy."""
    command = [sys.executable, "-I", "-S", "-c", _BUSY]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.communicate()


def _chore_s() -> float:
    """CPU seconds for the main work of peers: reading records and checking signatures."""
    seed = bytes(32)
    key = sign.public_key(seed)
    data = canon.encode(["p2pverify/1", bytes(32), bytes(32), 7, [[number, bytes(32)] for number in range(8)]])
    signature = sign.sign(seed, data)
    began = process_time()
    for _ in range(_ROUNDS):
        canon.decode(data, size_max=4096, depth_max=6)
        sign.verify(key, data, signature)
    return process_time() - began


def _token_s(plan: Plan) -> float:
    """CPU seconds for one token of llama.cpp, of the largest model, with prompts and answers as long as the plan's."""
    kinds = {peer.path.engine for peer in plan.peers}
    kind = next(kind for kind in LOCAL_KINDS if kind in kinds)  # the one whose tokens say most
    prompt_tokens, answer_tokens = plan.rules["prompt_tokens"], plan.rules["answer_tokens"]
    engine = open_engine(kind, EngineOpening(weights=max(plan.models, key=size_mb)))
    try:
        began = process_time()
        for number in range(_ANSWERS):
            prompt = engine.write_prompt(bytes([number]) * 16, prompt_tokens)
            key = bytes([number]) * 32
            engine.answer(Ask(prompt, answer_tokens, 800, key))
        spent = process_time() - began
    finally:
        engine.close()
    return spent / (_ANSWERS * (prompt_tokens + answer_tokens)) / load_of(kind).token
