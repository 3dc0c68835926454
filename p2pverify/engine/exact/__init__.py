"""Integer-exact inference in numpy: equal bits on every processor, with every BLAS and any number of threads.

It runs the architectures in `shape`. `tensors` reads a model file: quantised weights become integers, in the form of
`blocks`, by `simple` and `kquants`. `linear` multiplies with them, and `packed` keeps them on disk, shared by all
processes of a machine. `devices` computes the large sums, in numpy or in PyTorch. `model` is the forward pass, with
`norms`, `rope` and `attention`; `engine` fulfils the node's port.
"""

from p2pverify.engine.exact.engine import ExactEngine

__all__ = ["ExactEngine"]
