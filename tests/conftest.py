"""Settings that must stand before numpy is loaded."""

import os

# Engines have one thread a peer, as in the program; threads of BLAS that wait for each other take whole cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
