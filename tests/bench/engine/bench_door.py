"""Tokens through a node's door, against the bare engine, and many streams against the server of the llama.cpp wheel.

A node that is alone in its network answers its own clients, in a process of its own. In turn with it, the bare engine
answers the same questions in this process, and the wheel's server (the same model, threads, cache types and batch) the
same eight at a time. Ratios of one run are printed:

- how much later the first token of an answer comes through the door than from the engine;
- the speed of one stream, in parts of the engine's;
- the tokens of eight streams per second, in parts of the server's.
"""

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from p2pverify.core.contract.output import Ask
from p2pverify.engine.gguf import weights
from p2pverify.engine.llama.engine import LlamaEngine

_STREAMS = 8
_LANES = _STREAMS + 2  # votes and audits keep two
_CONTEXT = 1024
_TOPICS = ("rain", "bread", "maps", "bridges", "salt", "clocks", "owls", "glass", "tea", "iron", "snow", "boats")
_SERVER = """
import sys, time, xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_parallel, params.n_ctx, params.n_batch, params.n_ubatch = 8, 8 * 1024, 2048, 64
params.kv_unified = False
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_Q8_0
params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
params.port = 0
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Timed:
    """An answer: seconds until its first token and its last one, and its tokens."""

    first_s: float
    last_s: float
    tokens: int

    @property
    def per_second(self) -> float:
        return (self.tokens - 1) / (self.last_s - self.first_s)


def question(number: int) -> str:
    return f"Write a long story about {_TOPICS[number % len(_TOPICS)]} number {number}."


def through(url: str, model: str, text: str, tokens: int, extra: dict[str, object]) -> Timed:
    """Stream a chat answer of a server, and time its chunks."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    link = http.client.HTTPConnection(parts.hostname, parts.port, timeout=600)
    body = {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        **extra,
    }
    began = time.perf_counter()
    link.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    answer = link.getresponse()
    assert answer.status == 200, answer.read()
    times, count = [], 0
    for line in answer:
        if not line.startswith(b"data: {"):
            continue
        chunk = json.loads(line[6:])
        if any(choice.get("delta", {}).get("content") for choice in chunk["choices"]):
            times.append(time.perf_counter() - began)
        count = (chunk.get("usage") or {}).get("completion_tokens", count)
    link.close()
    return Timed(times[0], times[-1], count)


def bare(engine: LlamaEngine, text: str, tokens: int) -> Timed:
    times: list[float] = []
    began = time.perf_counter()
    made = engine.answer(
        Ask(engine.encode_chat(text), tokens, 0, bytes(32)), lambda _: times.append(time.perf_counter() - began)
    )
    return Timed(times[0], times[-1], len(made.output.tokens))


def together(ask: Callable[[str], Timed], numbers: range) -> float:
    """Tokens per second of questions that are asked at the same time."""
    began = time.perf_counter()
    with ThreadPoolExecutor(len(numbers)) as threads:
        made = list(threads.map(lambda number: ask(question(number)), numbers))
    return sum(each.tokens for each in made) / (time.perf_counter() - began)


@contextmanager
def running_node(folder: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "p2pverify", "--home", str(folder / "home")]
    subprocess.run([*command, "init"], check=True, capture_output=True)
    (folder / "home" / "config.toml").write_text(f"lanes = {_LANES}\n")
    definition = str(folder / "network.toml")
    subprocess.run([*command, "network", "new", "-o", definition], check=True, capture_output=True)
    join = [*command, "join", definition, "--alone", "--listen", "/ip4/127.0.0.1/tcp/0", "--http", "127.0.0.1:0"]
    with subprocess.Popen(join, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["api"]
        finally:
            process.terminate()


@contextmanager
def running_server() -> Iterator[str]:
    command = [sys.executable, "-c", _SERVER, str(weights.bundled())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--tokens", type=int, default=64)
    given = parser.parse_args()
    engine = LlamaEngine(weights.bundled())
    with tempfile.TemporaryDirectory() as folder, running_node(Path(folder)) as node, running_server() as server:
        ours: dict[str, object] = {"seed": 1, "p2pverify": {"panel": 1}}

        def door(text: str) -> Timed:
            return through(node, weights.NAME.replace(" ", "-"), text, given.tokens, ours)

        def other(text: str) -> Timed:
            return through(server, "any", text, given.tokens, {"cache_prompt": False})

        later, speeds, crowds = [], [], []
        for number in range(given.rounds + 1):  # the first round warms up
            texts = question(2 * number), question(2 * number + 1)
            straight, asked = bare(engine, texts[0], given.tokens), door(texts[1])
            rest = range(1000 + 2 * _STREAMS * number, 1000 + 2 * _STREAMS * (number + 1))
            crowd = together(door, rest[:_STREAMS]), together(other, rest[_STREAMS:])
            if number:
                later.append(1000 * (asked.first_s - straight.first_s))
                speeds.append(asked.per_second / straight.per_second)
                crowds.append(crowd[0] / crowd[1])
    print(f"first token through the door: {statistics.median(later):+.1f} ms (median of {given.rounds})")
    print(f"one stream: {statistics.median(speeds):.2f} of the engine's speed")
    print(f"{_STREAMS} streams: {statistics.median(crowds):.2f} of the server's tokens per second")


if __name__ == "__main__":
    main()
