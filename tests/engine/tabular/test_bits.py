"""Rounds of training have the same bits whatever code path numpy and BLAS take; tests/long has the other kernels."""

from tests.engine.tabular import digest
from tests.support import kernels

#: What any machine computes. It changes only together with the name of a trainer or of the engine.
GOLDEN = {
    "plain": "1176c33048db6b1c79366d305788c765995708b85dca072f3034b940293aac96",
    "answers": "84512149ffe575928e2d507b519bf26c899af961ce8681ecadbd77dcd3891843",
    "hidden": "efe45995cf64b69e465be81c5626b78318a1a4a18965c05e35b5a94fb7cb08fc",
    "noise": "a92927f08097b36f200cb1dc63db85a0fd5da8ff22ee1d6419c1bb9ae415ea2b",
}


def test_this_process_has_the_bits() -> None:
    """With the kernel and the threads that the machine chooses."""
    assert digest.digests() == GOLDEN


def test_the_oldest_kernel_has_the_bits() -> None:
    """Two threads, and no vector extensions in numpy."""
    assert kernels.bits(next(iter(kernels.SETTINGS)), digest.__name__) == GOLDEN
