"""Reading and measuring the properties of the machine."""

import math
import os
import subprocess

import pytest

from p2pverify.testnet.capacity import machine
from p2pverify.testnet.capacity.machine import available_mb, measure, usable_cores
from tests.testnet.support import toy_plan


def test_measuring_leaves_no_process(monkeypatch):
    """The processes that keep the other cores busy end with the measurement, even if it fails."""
    started = []
    popen = subprocess.Popen
    monkeypatch.setattr(machine, "usable_cores", lambda: 3.0)
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1])
    found = measure(toy_plan())
    assert found.cores == 3.0
    assert found.slowness > 0
    assert found.token_s > 0
    assert found.others >= 0
    monkeypatch.setattr(machine, "_chore_s", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        measure(toy_plan())
    assert len(started) == 4
    assert all(process.returncode is not None for process in started)


def test_a_busy_process_ends_with_whoever_started_it():
    """Its standard input closes when its parent ends for any reason."""
    process = subprocess.Popen(["python3", "-I", "-S", "-c", machine._BUSY], stdin=subprocess.PIPE)
    assert process.poll() is None
    process.stdin.close()
    assert process.wait(timeout=30) == 0


def test_a_container_is_granted_less(tmp_path):
    """Limits of control groups count if they exist."""
    cores = len(os.sched_getaffinity(0))
    assert usable_cores(tmp_path) == cores
    for quota, expected in (("max 100000", cores), ("50000 100000", 0.5), (f"{10**9} 1000", cores), ("?", cores)):
        (tmp_path / "cpu.max").write_text(quota + "\n")
        assert usable_cores(tmp_path) == expected
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  4000000 kB\nMemAvailable:    2000000 kB\n")
    assert available_mb(tmp_path, meminfo) == 2048.0
    (tmp_path / "memory.current").write_text("300000000\n")
    for most, expected in (("1000000000", 700.0), ("max", 2048.0), ("9000000000", 2048.0)):
        (tmp_path / "memory.max").write_text(most + "\n")
        assert available_mb(tmp_path, meminfo) == expected
    (tmp_path / "memory.max").write_text("max\n")
    for text in ("MemTotal: 4 kB\n", "MemAvailable: much\n"):
        meminfo.write_text(text)
        assert available_mb(tmp_path, meminfo) == math.inf
    assert available_mb(tmp_path, tmp_path / "absent") == math.inf
