"""What a step of an adapter's training costs on one thread, and whose bits it has.

`uv run --extra torch python -m tests.bench.training.bench_adapter [THREADS]`. Other classes: set
ATEN_CPU_CAPABILITY to default or avx2, or MKL_ENABLE_INSTRUCTIONS to AVX2.
"""

import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import TypeVar

from p2pverify.core.encoding.canon import sha256
from p2pverify.engine.gguf import weights
from p2pverify.engine.gguf.reader import read_head
from p2pverify.engine.language import open_tokeniser
from p2pverify.engine.lora import model as lora_model
from p2pverify.engine.lora.adapter import initial, shape_of
from p2pverify.engine.lora.merge import merge_adapter
from p2pverify.engine.lora.model import LoraModel, numeric_path
from p2pverify.engine.lora.tools import LOSS_STEP

RANK, TOKENS, BATCH, STEPS, RATE, HELD = 8, 128, 2, 4, 0.5, 8
TEXT = Path(__file__).parents[3] / "protocol" / "audit.md"
_T = TypeVar("_T")


def timed(what: str, work: Callable[[], _T], times: int = 1) -> _T:
    began = process_time()
    found = work()
    print(f"{what}: {(process_time() - began) / times:.2f} s")
    return found


def main() -> None:
    lora_model.THREADS = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    path, file = weights.bundled(), weights.SHA256
    base = initial(file, shape_of(read_head(path), RANK))
    print(timed("imports", numeric_path))
    model = timed("weights", lambda: LoraModel(path))
    model.take(base)
    ids = open_tokeniser(path).tokenise(TEXT.read_text(encoding="utf-8"), special=False)
    rows = [ids[at * TOKENS : (at + 1) * TOKENS] for at in range(STEPS * BATCH + HELD)]
    held = rows[STEPS * BATCH :]
    before = model.losses(held)

    def train() -> None:
        for number in range(STEPS):
            model.step(rows[number * BATCH : (number + 1) * BATCH], RATE, 0.0)

    timed(f"a step of {BATCH * TOKENS} tokens", train, STEPS)
    after = timed(f"the losses of {HELD * TOKENS} tokens", lambda: model.losses(held))
    print("digest", sha256(model.weights_bytes()).hex()[:16])
    print("losses, rounded", [loss // LOSS_STEP for loss in after])
    print("mean losses", sum(before) // HELD, sum(after) // HELD)
    moved = base.moved(model.weights() - base.weights)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "merged"
        timed("merged file", lambda: merge_adapter(path, moved, target))
        merged = LoraModel(target)
        merged.take(base)
        print("merged file:", target.stat().st_size, "bytes; mean loss", sum(merged.losses(held)) // HELD)
    print(f"memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
