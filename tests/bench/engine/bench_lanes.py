"""Answers written at the same time, against the same answers one after another: bits, and tokens per second.

`--lanes 2,4,8,16` measures each number of lanes with its own engine, in turn with one lane. Prompts are short and long,
mixed. Lines show the answers whose bits differ from the single ones (there should be none) and the ratio of the speeds.
"""

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from p2pverify.core.contract.output import Ask, Output
from p2pverify.engine.gguf import weights
from p2pverify.engine.llama.engine import LlamaEngine

_TEXT = "the sky is blue because light scatters in the air while people read about history of old cities at night"
_PROMPT_WORDS = (4, 9, 20, 45, 90, 200, 400)
_SHARES = (0.1, 0.2, 0.3, 0.2, 0.1, 0.05, 0.05)


def questions(engine: LlamaEngine, count: int, tokens: int, seed: int = 5) -> list[Ask]:
    """Chat prompts of mixed lengths, half of them answered at temperature 0."""
    drawn = np.random.default_rng(seed)
    asks = []
    for number in range(count):
        words = int(drawn.choice(_PROMPT_WORDS, p=_SHARES))
        prompt = engine.encode_chat(" ".join(drawn.choice(_TEXT.split(), words)))
        asks.append(Ask(prompt, tokens, 800 * (number % 2), number.to_bytes(32, "big")))
    return asks


def answers(engine: LlamaEngine, asks: Sequence[Ask]) -> tuple[list[Output], float]:
    """The answers of as many threads as the engine has lanes, and the CPU seconds of this process."""
    began = time.process_time()
    with ThreadPoolExecutor(engine.info.lanes) as threads:
        made = list(threads.map(lambda ask: engine.answer(ask).output, asks))
    return made, time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--lanes", default="2,4,8,16")
    parser.add_argument("--variant", default="")
    given = parser.parse_args()
    path = weights.bundled()
    alone = LlamaEngine(path, variant=given.variant)
    asks = questions(alone, given.answers, given.tokens)
    single, spent_s = answers(alone, asks)
    tokens = sum(len(output.tokens) for output in single)
    print(f"{given.answers} answers, {tokens} tokens; one lane: {tokens / spent_s:.1f} tokens a CPU second", flush=True)
    for lanes in map(int, given.lanes.split(",")):
        engine = LlamaEngine(path, variant=given.variant, lanes=lanes)
        made, lanes_s = answers(engine, asks)
        engine.close()
        differ = sum(one != other for one, other in zip(single, made, strict=True))
        print(f"{lanes:2} lanes: {differ} differ, {spent_s / lanes_s:.2f} of the speed of one lane", flush=True)


if __name__ == "__main__":
    main()
