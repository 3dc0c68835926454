"""Gossip and sync, measured. Nothing here fails; figures are printed for one machine and one run.

    uv run python -m tests.bench.gossip.bench_saturated     CPU per delivery beside js-libp2p and py-libp2p, 8 peers
    uv run python -m tests.bench.gossip.bench_processes     time to the last of 16 processes, and losses
    uv run python -m tests.bench.gossip.bench_router        the router alone, per event
    uv run python -m tests.bench.gossip.bench_sync          set reconciliation

`bench_saturated` installs the JavaScript packages of tests/interop at first. Run them on a quiet machine: what else
runs there moves CPU times by tens of percent, and times on the clock without limit.
"""
