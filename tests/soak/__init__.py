"""Long runs in which faults come one after the other: `python -m tests.soak`, described in CONTRIBUTING."""
