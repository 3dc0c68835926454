"""Integer-exact inference in numpy: equal bits on every CPU, with every BLAS and any number of threads.

`blocks` reads quantised weights as integers, `linear` multiplies with them, and `packed` keeps them on disk, shared by
all processes of a machine. `model` is the forward pass, `engine` fulfils the node's port.
"""

from p2pverify.engine.exact.engine import ExactEngine

__all__ = ["ExactEngine"]
