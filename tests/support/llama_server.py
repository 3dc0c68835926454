"""llama.cpp's own server, from the wheel, on loopback. Its settings are not the canonical ones, like any server's."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import xllamacpp


@contextmanager
def llama_server(weights: Path, *, context_tokens: int = 512, key: str = "") -> Iterator[str]:
    """The base URL of a server with these weights, for as long as the context."""
    params = xllamacpp.CommonParams()
    params.model.path = str(weights)
    params.n_ctx, params.n_parallel = context_tokens, 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.hostnames = ["127.0.0.1"]
    if key:
        params.api_keys = [key]
    params.warmup = False
    server = xllamacpp.Server(params)
    yield f"{server.listening_address}/v1"
    del server
