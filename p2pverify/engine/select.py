"""Opens an engine by its kind; the only place that knows them all."""

from pathlib import Path
from typing import Literal, assert_never

from p2pverify.engine import weights as model_weights
from p2pverify.engine.llama import LlamaEngine
from p2pverify.engine.toy import ToyEngine
from p2pverify.node.ports import Engine

Kind = Literal["llama", "toy"]


def open_engine(
    kind: Kind,
    *,
    weights: Path | None = None,
    expect_sha256: bytes | None = None,
    progress: model_weights.Progress | None = None,
) -> Engine:
    """Open an engine. Blocks for about half a second: call it in a thread.

    Without `weights` the bundled model is used, whose digest is known. Weights from elsewhere are compared with
    `expect_sha256` if given; without it they are only named by their digest. Raises EngineUnavailable or its
    subclass WeightsError, which say what to do.
    """
    match kind:
        case "toy":
            return ToyEngine()
        case "llama":
            expected = expect_sha256 or (model_weights.SHA256 if weights is None else None)
            path = weights or model_weights.bundled()
            return LlamaEngine(path, expect_sha256=expected, progress=progress)
        case _:
            assert_never(kind)
