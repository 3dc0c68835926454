"""A small release with one file, as tests begin with."""

from p2pverify.core.contract.history.files import FileEntry
from p2pverify.core.contract.history.recipe import Quantise, encode_recipe
from p2pverify.core.contract.history.release import How, Release
from p2pverify.core.contract.manifest import Manifest

PARENT = bytes([7]) * 32
MANIFEST = Manifest(
    "tiny", bytes([1]) * 32, bytes([2]) * 32, bytes([3]) * 32, "Q5_0", "Apache-2.0", "made for a test", PARENT
)
FILE = FileEntry("tiny.gguf", 1000, MANIFEST.weights, bytes([4]) * 32)
RELEASE = Release(
    0, 2, MANIFEST.encode(), (PARENT,), How.QUANTISE, encode_recipe(Quantise("q5_0")), (FILE,), bytes([5]) * 32
)
