"""Settings that must stand before numpy is loaded, and those of hypothesis."""

import os

# Engines have one thread a peer, as in the program; threads of BLAS that wait for each other take whole cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from hypothesis import HealthCheck, settings

# No test may fail because the machine is busy.
settings.register_profile("p2pverify", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("p2pverify")
