"""Settings that must be set before numpy is loaded, and hypothesis's settings."""

import os

# Engines have one thread per peer, as in the program, because waiting BLAS threads use whole cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from hypothesis import HealthCheck, settings

# No test may fail because the machine is busy. Tests whose inputs vary most say their number of examples.
settings.register_profile("p2pverify", max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("p2pverify")
