"""A program that prints digests of the exact engine's outputs under this process's settings.

Argument: the folder of packed weights. Output: one line of JSON.
"""

import hashlib
import json
import sys
from dataclasses import astuple
from pathlib import Path

from p2pverify.core.contract.output import Ask
from p2pverify.engine.exact import ExactEngine
from p2pverify.engine.gguf import weights

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


def main() -> None:
    engine = ExactEngine(weights.bundled(), cache=Path(sys.argv[1]))
    print(json.dumps(digests(engine)))
    engine.close()


if __name__ == "__main__":
    main()
