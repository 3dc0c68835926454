"""config.toml: how one operator runs a node. The rules that all peers share are in the network file instead.

Every key has a default. The command line overrides the file.
"""

import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from p2pverify.core.errors import DecodeError
from p2pverify.core.inference.speed import check_claim
from p2pverify.node.endpoints.address import (
    Address,
    announced_address,
    bootstrap_address,
    check_server,
    listening_address,
)
from p2pverify.node.endpoints.loopback import parse_bind
from p2pverify.node.engines.kinds import EngineKind
from p2pverify.node.files.textfile import FileMissingError, user_path
from p2pverify.node.files.tomlfile import read_model

CONFIG_BYTES_MAX = 65_536
BOOTSTRAP_MAX = 64
ANNOUNCE_MAX = 4
COVER_PER_EPOCH_MAX = 16

#: The text that `init` writes: all keys with their defaults, commented out.
TEMPLATE = """\
# How this node runs. Every line shows a key with its default; remove the '#' to change it.
# Options of the command line come first, then this file.

# Where other peers reach this node. Port 0 takes a free one, another one at each start.
# listen = "/ip4/0.0.0.0/tcp/4747"

# What to tell others instead, such as "/ip4/203.0.113.7/tcp/4747" behind a router that forwards a port.
# announce = []

# Peers to begin with, as printed by their 'p2pverify status': "/ip4/192.0.2.1/tcp/4747/p2p/12D3Koo..."
# bootstrap = []

# Whether peers of the local network find this node, and it them (mDNS). Never done by a node that listens on
# loopback only.
# mdns = true

# Where the local API listens. Loopback only; port 0 takes a free one, which the file 'api' names.
# http = "127.0.0.1:0"

# "llama" runs a language model; "exact" runs it in integers, slowly, with the same bits on every machine; "toy"
# computes nonsense quickly, for trying things out. "openai" has it run by a server that speaks OpenAI's completions
# with token ids and logprobs (vLLM, SGLang, llama-server); "transformers" by PyTorch, if that extra is installed. Both
# need the same weights here, and are judged across classes.
# engine = "llama"

# Which numeric path of the engine: "" is the usual one. For "llama" it is a build, such as "haswell" or "skylakex", of
# the npm package @node-llama-cpp/linux-x64, in the folder that llama_variants names.
# variant = ""
# llama_variants = "/path/to/folder"

# The server of the engine "openai": its base URL, and the model's name there, "" if it has one only. Its key, if it
# wants one, comes from the environment: P2PVERIFY_OPENAI_KEY.
# openai_url = "http://127.0.0.1:8000/v1"
# openai_model = ""

# The model's weights (GGUF). Without it the bundled model is used.
# weights = "/path/to/model.gguf"

# What this node claims to run on, in lower case, such as "ryzen 7950x" or "rtx 4090". Others hold its speed against
# that of peers with the same claim; it has no part in the score. A new claim counts after a leave and a new join.
# hardware = ""

# How many questions per epoch to ask of others as cover, so that they cannot tell the owed ones: with prompts of the
# file 'corpus' (text, one a line) and of 'replay' (own earlier chat requests, a JSON object a line, plain or as in
# OpenAI's batches, sent again to others), or else written by the model. What comes back is forgotten. Others work for
# it, as this node for theirs.
# cover_per_epoch = 0.0
# corpus = "/path/to/prompts.txt"
# replay = "/path/to/requests.jsonl"

# "debug", "info", "warning" or "error".
# log_level = "info"
"""


class Config(BaseModel):
    """The keys of config.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    listen: str = "/ip4/0.0.0.0/tcp/4747"
    announce: tuple[str, ...] = Field(default=(), max_length=ANNOUNCE_MAX)
    bootstrap: tuple[str, ...] = Field(default=(), max_length=BOOTSTRAP_MAX)
    mdns: bool = True
    http: str = "127.0.0.1:0"
    engine: EngineKind = "llama"
    variant: str = ""
    llama_variants: Path | None = None
    openai_url: str = "http://127.0.0.1:8000/v1"
    openai_model: str = ""
    weights: Path | None = None
    hardware: str = ""
    cover_per_epoch: float = Field(default=0.0, ge=0, le=COVER_PER_EPOCH_MAX)
    corpus: Path | None = None
    replay: Path | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("listen")
    @classmethod
    def _listen(cls, value: str) -> str:
        return check_address(value, listening_address)

    @field_validator("bootstrap")
    @classmethod
    def _bootstrap(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_address(address, bootstrap_address) for address in value)

    @field_validator("announce")
    @classmethod
    def _announce(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_address(address, announced_address) for address in value)

    @field_validator("http")
    @classmethod
    def _http(cls, value: str) -> str:
        parse_bind(value)
        return value

    @field_validator("openai_url")
    @classmethod
    def _openai_url(cls, value: str) -> str:
        return check_server(value)

    @field_validator("hardware")
    @classmethod
    def _hardware(cls, value: str) -> str:
        try:
            return check_claim(value)
        except DecodeError as error:
            raise ValueError(error.reason) from None

    @field_validator("weights", "llama_variants", "corpus", "replay")
    @classmethod
    def _path(cls, value: Path | None) -> Path | None:
        return None if value is None else user_path(value)


def load_config(path: Path) -> Config:
    """Read config.toml. A missing file means all defaults. Raises FileError."""
    try:
        return read_model(path, Config, size_max=CONFIG_BYTES_MAX, missing="run 'p2pverify init'")
    except FileMissingError:
        return Config()


def check_address(text: str, read: Callable[[str], Address]) -> str:
    """The text, if `read` accepts it as an address. Raises ValueError, which quotes the text."""
    try:
        read(text)
    except DecodeError as error:
        raise ValueError(f"{text[:80]!r}: {error.reason}") from None
    return text


def uses_mdns(listen: str, *, wanted: bool) -> bool:
    """Whether a node listening there looks for peers by mDNS: if `wanted`, and not on a loopback address."""
    host = listen.split("/")[2]
    try:
        return wanted and not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return wanted
