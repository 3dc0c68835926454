"""One loaded model for tests that only read from it, because loading takes half a second."""

from collections.abc import Iterator

import pytest

from p2pverify.engine.gguf import weights
from p2pverify.engine.llama.engine import LlamaEngine


@pytest.fixture(scope="session")
def llama() -> Iterator[LlamaEngine]:
    engine = LlamaEngine(weights.bundled(), expect_sha256=weights.SHA256)
    yield engine
    engine.close()
