"""A program that prints digests of the exact engine's outputs under this process's settings.

Arguments: the folder of packed weights, and small models, or none for the bundled model. Output: one line of JSON.
"""

import hashlib
import json
import sys
from dataclasses import astuple
from pathlib import Path

from p2pverify.core.contract.output import Ask
from p2pverify.engine.exact import ExactEngine, loader
from p2pverify.engine.exact.devices import open_device
from p2pverify.engine.exact.model import Model
from p2pverify.engine.gguf import weights
from p2pverify.engine.gguf.reader import read_head

SEED, KEY = bytes(range(16)), bytes(32)
LONG_TOKENS = 70


def digests(engine: ExactEngine) -> dict[str, str]:
    """Digests of a written prompt, a sampled answer with its score, and the logits of a sequence of several batches."""
    prompt = engine.write_prompt(SEED, 12)
    answer = engine.answer(Ask(prompt, 12, 800, KEY)).output
    engine.forget()
    score = engine.score(Ask(prompt, len(answer.tokens), 800, KEY), answer.tokens)
    rows = hashlib.sha256()
    for logits in engine.rows(engine.encode_chat("Why is the sky blue? " * 12)[:LONG_TOKENS], LONG_TOKENS - 4):
        rows.update(logits.tobytes())
    return {
        "prompt": hashlib.sha256(repr(prompt).encode()).hexdigest(),
        "answer": hashlib.sha256(repr((answer.tokens, answer.finish)).encode()).hexdigest(),
        "answer logits": answer.logits.hex(),
        "score": hashlib.sha256(repr(astuple(score)).encode()).hexdigest(),
        "score logits": score.logits.hex(),
        "long": rows.hexdigest(),
    }


def small_digest(path: Path, cache: Path, variant: str = "") -> str:
    """Digest of the logits of a model without a vocabulary, behind each of some tokens, on a variant's device."""
    loaded = loader.load(path, read_head(path), hashlib.sha256(path.read_bytes()).digest(), cache)
    model = Model(loaded, loaded.shape.context_tokens, open_device(variant))
    tokens = [7 * number % loaded.vocab_tokens for number in range(LONG_TOKENS)]
    return hashlib.sha256(b"".join(row.tobytes() for row in model.logits(model.forward(tokens, 0)))).hexdigest()


def main() -> None:
    cache, *small = map(Path, sys.argv[1:])
    if small:
        print(json.dumps({path.stem: small_digest(path, cache) for path in small}))
        return
    engine = ExactEngine(weights.bundled(), cache=cache)
    print(json.dumps(digests(engine)))
    engine.close()


if __name__ == "__main__":
    main()
