"""How fast the exact engine is beside llama.cpp, and how closely it judges llama.cpp's honest answers.

Run it by hand: OPENBLAS_NUM_THREADS=1 python -m tests.bench.engine.bench_exact [--weights FILE] [--prompts N]
Both engines run in one process on one thread, turn by turn; figures are processor time, the best of some runs.
"""

import argparse
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from p2pverify.core.contract.output import Ask
from p2pverify.engine.exact import ExactEngine
from p2pverify.engine.gguf import weights
from p2pverify.engine.llama.causal import CausalEngine
from p2pverify.engine.llama.engine import LlamaEngine

KEY = bytes(32)
DIFFERENCE_TOKENS = 32
TEXT = "Why is the sky blue, and why is the sea green? " * 40


def forget(engine: CausalEngine) -> None:
    if isinstance(engine, ExactEngine):
        engine.forget()
    elif isinstance(engine, LlamaEngine):
        engine.context.keep(0, 0)


def seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def prefill(engine: CausalEngine, tokens: Sequence[int]) -> float:
    """Tokens per second of a prompt, with the logits after its last token."""
    forget(engine)
    return len(tokens) / seconds(lambda: list(engine.rows(tokens, len(tokens) - 1)))


def decode(engine: CausalEngine, tokens: Sequence[int], count: int) -> float:
    """Tokens per second, one at a time, behind a prompt."""
    forget(engine)
    first = len(tokens) - count
    list(engine.rows(tokens[:first], first - 1))
    return count / seconds(
        lambda: [list(engine.rows(tokens[:end], end - 1)) for end in range(first + 1, len(tokens) + 1)]
    )


def scoring(engine: CausalEngine, tokens: Sequence[int], count: int) -> float:
    """Milliseconds to score the last `count` tokens as a sampled answer to those before."""
    forget(engine)
    prompt, claimed = tokens[:-count], tokens[-count:]
    return 1e3 * seconds(lambda: engine.score(Ask(tuple(prompt), count, 800, KEY), claimed))


def speed(exact: ExactEngine, llama: LlamaEngine, runs: int) -> None:
    tokens = exact.encode_chat(TEXT)
    lines: list[tuple[str, Callable[[CausalEngine], float], bool]] = [
        ("prefill of 64 tokens, tokens/s", lambda engine: prefill(engine, tokens[:64]), True),
        ("prefill of 128 tokens, tokens/s", lambda engine: prefill(engine, tokens[:128]), True),
        ("prefill of 384 tokens, tokens/s", lambda engine: prefill(engine, tokens[:384]), True),
        ("decode behind 64 tokens, tokens/s", lambda engine: decode(engine, tokens[:96], 32), True),
        ("score 64 tokens behind 40, ms", lambda engine: scoring(engine, tokens[:104], 64), False),
    ]
    print(f"{'':<36}{'exact':>10}{'llama.cpp':>12}{'ratio':>8}")
    for name, measure, higher_is_better in lines:
        pairs = [(measure(exact), measure(llama)) for _ in range(runs)]
        ours, theirs = ((max if higher_is_better else min)(column) for column in zip(*pairs, strict=True))
        ratio = theirs / ours if higher_is_better else ours / theirs
        print(f"{name:<36}{ours:>10.1f}{theirs:>12.1f}{ratio:>8.2f}", flush=True)


def closeness(exact: ExactEngine, llama: LlamaEngine, prompts: int) -> None:
    """The exact engine's margins of llama.cpp's answers, in nats."""
    print(f"\n{'honest answers of 64 tokens':<36}{'agree':>10}{'mean':>10}{'p99':>8}{'max':>8}{'worst mean':>12}")
    for name, temperature_milli in (("greedy", 0), ("sampled at 0.8", 800)):
        deficits: list[int] = []
        means: list[float] = []
        agree = 0
        for number in range(prompts):
            prompt = exact.write_prompt(number.to_bytes(16, "big"), 24)
            question = Ask(prompt, 64, temperature_milli, number.to_bytes(32, "big"))
            tokens = llama.answer(question).output.tokens
            scored = exact.score(question, tokens)
            deficits += scored.deficits
            means.append(sum(scored.deficits) / len(tokens))
            agree += sum(best == token for best, token in zip(scored.best, tokens, strict=True))
        nats = np.array(deficits) / 1e6
        print(
            f"{name:<36}{agree / len(nats):>10.2%}{nats.mean():>10.5f}{np.quantile(nats, 0.99):>8.3f}"
            f"{nats.max():>8.3f}{max(means) / 1e6:>12.5f}",
            flush=True,
        )


def differences(exact: ExactEngine, llama: LlamaEngine, prompts: int) -> None:
    """How far the logits of both engines are apart behind llama.cpp's greedy answers, and the margins of its tokens."""
    largest: list[float] = []
    spread: list[float] = []
    deficits: list[float] = []
    for number in range(prompts):
        prompt = llama.write_prompt(number.to_bytes(16, "big"), 24)
        tokens = llama.answer(Ask(prompt, DIFFERENCE_TOKENS, 0, KEY)).output.tokens
        sequence = (*prompt, *tokens[:-1])
        first = len(prompt) - 1
        rows = zip(tokens, exact.rows(sequence, first), llama.rows(sequence, first), strict=True)
        for token, ours, theirs in rows:
            difference = np.abs(ours - theirs)
            largest.append(float(difference.max()))
            spread.append(float(np.sqrt((difference**2).mean()) / theirs.std()))
            deficits.append(float(ours.max() - ours[token]))
    for name, values in (("largest difference of a logit", largest), ("margin of llama.cpp's token", deficits)):
        quantiles = " ".join(f"{value:.3f}" for value in np.quantile(values, (0.5, 0.9, 0.99, 1)))
        print(f"{name}: mean {np.mean(values):.5f}; median, 90 %, 99 %, all: {quantiles}")
    equal = np.mean(np.array(deficits) == 0)
    print(f"{len(largest)} positions: root mean square {np.mean(spread):.4f} of the spread, equal tokens {equal:.2%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=20)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--variant", default="", help="the device of the exact engine, such as torch or torch/cuda")
    parser.add_argument("--weights", type=Path, default=weights.bundled())
    parser.add_argument("--only", choices=["speed", "differences", "closeness"])
    options = parser.parse_args()
    exact = ExactEngine(options.weights, cache=options.cache, variant=options.variant)
    print(f"opened in {seconds(lambda: ExactEngine(options.weights, cache=options.cache)):.2f} s of processor time")
    llama = LlamaEngine(options.weights)
    wanted = [options.only] if options.only else ["speed", "differences", "closeness"]
    if "speed" in wanted:
        speed(exact, llama, options.runs)
    if "differences" in wanted:
        differences(exact, llama, options.prompts)
    if "closeness" in wanted:
        closeness(exact, llama, options.prompts)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\npeak memory of both engines, shared pages included: {peak:.0f} MB")


if __name__ == "__main__":
    main()
