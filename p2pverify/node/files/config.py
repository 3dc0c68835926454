"""config.toml: how one operator runs a node. The rules that all peers share are in the network file instead.

Every key has a default. The command line overrides the file.
"""

import ipaddress
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from p2pverify.core.errors import DecodeError
from p2pverify.core.inference.question import CONTEXT_TOKENS_MAX
from p2pverify.core.inference.speed import check_claim
from p2pverify.core.plan import PANEL_MAX, PLAN_REQUESTS_MAX
from p2pverify.core.settle.credit import DEFAULT_CREDIT, CreditLimits
from p2pverify.core.window import NO_CHECKS
from p2pverify.node.clients.book import ReportWish
from p2pverify.node.endpoints.address import (
    BOOTSTRAP_MAX,
    Address,
    announced_address,
    bootstrap_address,
    check_server,
    listening_address,
)
from p2pverify.node.endpoints.loopback import parse_bind, parse_gateway
from p2pverify.node.engines.kinds import DEFAULT_ENGINE, EngineKind
from p2pverify.node.files.modelfile import read_model
from p2pverify.node.files.textfile import FileMissingError, user_path
from p2pverify.node.journal import History

CONFIG_BYTES_MAX = 65_536
LISTEN_MAX = 4
ANNOUNCE_MAX = 4
COVER_PER_EPOCH_MAX = 16
LANES_MAX = 64
QUOTA_GB_MAX = 1_000_000
UPLOAD_MB_PER_S_MAX = 10_000
CREDIT_ANSWERS_MAX = 10**9

#: The text that `init` writes: all keys with their defaults, commented out.
TEMPLATE = """\
# How this node runs. Every line shows a key with its default; remove the '#' to change it.
# Options of the command line override this file.

# Where other peers reach this node: one address, or a list of up to 4, such as one of IPv4 and "/ip6/::/tcp/4747".
# Port 0 takes a free port, a different one at each start. With [] the node listens nowhere, and only dials.
# listen = "/ip4/0.0.0.0/tcp/4747"

# Addresses to tell other peers instead, such as "/ip4/203.0.113.7/tcp/4747" behind a router that forwards a port.
# announce = []

# Whether this node is a relay for members that nobody can dial, as behind a router: it passes on what they say to
# others, encrypted, at most 2 MiB a second in all.
# relay = true

# Whether to ask the router (UPnP) to forward the port of 'listen' to this node.
# upnp = false

# First peers to connect to, as printed by their 'p2pverify status': "/ip4/192.0.2.1/tcp/4747/p2p/12D3Koo..."
# With "/dnsaddr/example.org" they are taken from DNS: TXT records "dnsaddr=ADDRESS" of _dnsaddr.example.org. Without
# any, those of the network file are used.
# bootstrap = []

# The id of a cut to trust, as 'p2pverify status' shows it as the checkpoint to somebody whom you trust. A node with an
# empty home then begins with the state that follows from it, and not with the network's first record.
# trust = ""

# Whether this node and the peers of the local network find each other by mDNS. It is always off for a node that
# listens on loopback only.
# mdns = true

# Where the local API listens: a loopback address. Port 0 takes a free port, which is written to the file 'api'.
# http = "127.0.0.1:0"

# Where clients on other machines reach OpenAI's API of this node, such as "0.0.0.0:8080": only with a key that
# 'p2pverify key add' has made. It speaks plain HTTP, so put a proxy with TLS in front. Without it, only this machine
# is served.
# gateway = ""

# Whether clients on this machine need such a key too, as on a machine with several users.
# clients_need_key = false

# How answers for clients are checked, unless a client says otherwise. Normally one peer answers. One of 'every'
# requests, at a secret random place, is a full check: a panel of peers answers it, and the client gets the answer of
# more than half of them, or an error. With a panel of 5 for every 10th request, 100 requests take 140 answers. A panel
# of 1 checks nothing, and 3 is the smallest panel in which a majority can show who is wrong.
# panel = 1
# every = 10

# The share of stored receipts that this node scores again later, when it has nothing else to do. It draws them in
# secret. 'p2pverify me' shows what it found beside what the network's auditors find. 0 scores none again.
# audit_rate = 0.1

# What others may learn of a wrong answer that this node finds so, unless a client says otherwise: "never" nothing.
# "digest": a signed record with digests, which has no effect. "reveal": a record that opens a dispute, in which at most
# 31 members of this node's class see the question, and vote. A wrong answer then counts against the peer. It works
# while this node has weight. If the answer is right, the report counts against this node. "private": the same, but the
# record does not even have the question's digest, and nine members see the question first.
# report = "never"

# What runs the model:
# "llama" is llama.cpp, the usual engine.
# "exact" computes in integers: slowly, but with the same bits on every machine.
# "toy" computes nonsense quickly, for trials.
# "tabular" is a small model of rows of data, trained in rounds.
# "openai" is a server with OpenAI's completions, token ids and logprobs (vLLM, SGLang, llama-server).
# "transformers" is PyTorch, if that extra is installed.
# "openai" and "transformers" also need the weights on this machine. A referee judges their answers.
# engine = "llama"

# The numeric path of the engine; "" is the usual one. For "llama" it is the name of a build in the npm package
# @node-llama-cpp/linux-x64, such as "haswell" or "skylakex". llama_variants is the folder of that package.
# For "exact", "torch" computes large sums with PyTorch (an extra), and "torch/cuda" does so on a GPU, with equal bits.
# variant = ""
# llama_variants = "/path/to/folder"

# The server of the engine "openai": its base URL, and the model's name there ("" if it has only one model). If the
# server needs a key, put it into the environment variable P2PVERIFY_OPENAI_KEY.
# openai_url = "http://127.0.0.1:8000/v1"
# openai_model = ""

# The most tokens of a prompt and its answer together, up to what the model was trained for. More cost memory, about
# 12 kB a token with the bundled model. It changes no answer.
# context_tokens = 1024

# How many questions the engine "llama" answers at a time. Each has memory for context_tokens. Votes and audits keep two
# for themselves, so that they are in time however many clients there are. It changes no answer.
# lanes = 4

# The model's weights (GGUF). Without it the file is found by the network's digest: it is the bundled one, or one that
# 'p2pverify model add' remembers. In a network of several models it says which of them this node serves.
# weights = "/path/to/model.gguf"

# The hardware that this node claims, in lower case, such as "ryzen 7950x" or "rtx 4090". Other peers compare its speed
# with that of peers with the same claim. It does not affect the score. A new claim counts after a leave and a new join.
# hardware = ""

# Cover requests per epoch. They look like audits, so that other peers cannot tell when they are tested. Prompts come
# from the file 'corpus' (text, one prompt per line) and the file 'replay' (own earlier chat requests, one JSON object
# per line, plain or as in OpenAI's batches; other peers will see them). Without both, the model writes the prompts.
# The answers are not used. Cover costs other peers work, as their cover costs this node work.
# cover_per_epoch = 0.0
# corpus = "/path/to/prompts.txt"
# replay = "/path/to/requests.jsonl"

# What this node does with amendments of the network's rules that members with two thirds of the weight have approved:
# "follow" them, or "ask": then it stops at the cut with which one takes effect, until 'p2pverify network accept ID'.
# amendments = "follow"

# Which records this node keeps: with "window" those of the newest 128 cuts or a few more, and the state before them.
# "all" keeps every record, as for an archive: some 400 MB a day in a network of 100 members. Scores are the same.
# Records that a node with "window" has deleted do not come back with "all".
# history = "window"

# "debug", "info", "warning" or "error".
# log_level = "info"

# Files of models that peers fetch from each other. Only files are fetched and served that a release in a certified cut
# names. 'serve' lets other peers fetch what is here, also the weights that this node runs: all of them together
# 'upload_mb_per_s' (1 MB is 10**6 bytes), and each neighbour a 32nd of it besides. Fetched files take at most
# 'quota_gb'. Beyond it the least recently used ones are deleted.
# [blobs]
# serve = false
# upload_mb_per_s = 32.0
# quota_gb = 20.0

# Later versions of this node's model, which its publishers release. With 'policy' "notice" the node serves the current
# version as soon as its weights are here and give the right golden answers, and goes back after a recall. With "manual"
# it stays where it is until 'p2pverify model serve'. 'fetch' lets it fetch the weights from peers.
# [upgrade]
# policy = "manual"
# fetch = false

# In a network with a tariff: what clients of other nodes may owe this node for answers, in answers at the tariff's
# price. One client may owe 'limit' answers in all, cheques that it has not paid included, and 'uncovered' answers
# without a cheque. All clients that are no members may owe 'strangers' together. Beyond that they are refused. A
# cheque is put on the ledger once it says 'cash' answers more than the ledger.
# [credit]
# limit = 65536
# uncovered = 4096
# strangers = 1024
# cash = 64
"""


class UpgradeConfig(BaseModel):
    """The table [upgrade] of config.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    policy: Literal["manual", "notice"] = "manual"
    fetch: bool = False


class BlobsConfig(BaseModel):
    """The table [blobs] of config.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    serve: bool = False
    upload_mb_per_s: float = Field(default=32.0, ge=1, le=UPLOAD_MB_PER_S_MAX)
    quota_gb: float = Field(default=20.0, ge=0, le=QUOTA_GB_MAX)


class CreditConfig(BaseModel):
    """The table [credit] of config.toml, in answers at the tariff's price."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(default=DEFAULT_CREDIT.limit, ge=1, le=CREDIT_ANSWERS_MAX)
    uncovered: int = Field(default=DEFAULT_CREDIT.uncovered, ge=1, le=CREDIT_ANSWERS_MAX)
    strangers: int = Field(default=DEFAULT_CREDIT.strangers, ge=0, le=CREDIT_ANSWERS_MAX)
    cash: int = Field(default=DEFAULT_CREDIT.cash, ge=1, le=CREDIT_ANSWERS_MAX)

    @property
    def limits(self) -> CreditLimits:
        return CreditLimits(self.limit, self.uncovered, self.strangers, self.cash)


class Config(BaseModel):
    """The keys of config.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    listen: tuple[str, ...] = Field(default=("/ip4/0.0.0.0/tcp/4747",), max_length=LISTEN_MAX)
    announce: tuple[str, ...] = Field(default=(), max_length=ANNOUNCE_MAX)
    bootstrap: tuple[str, ...] = Field(default=(), max_length=BOOTSTRAP_MAX)
    trust: str = Field(default="", pattern="^([0-9a-f]{64})?$")
    relay: bool = True
    upnp: bool = False
    mdns: bool = True
    http: str = "127.0.0.1:0"
    gateway: str = ""
    clients_need_key: bool = False
    panel: int = Field(default=NO_CHECKS.panel, ge=1, le=PANEL_MAX)
    every: int = Field(default=NO_CHECKS.every, ge=1, le=PLAN_REQUESTS_MAX)
    audit_rate: float = Field(default=0.1, ge=0, le=1)
    report: ReportWish = "never"
    engine: EngineKind = DEFAULT_ENGINE
    variant: str = ""
    llama_variants: Path | None = None
    openai_url: str = "http://127.0.0.1:8000/v1"
    openai_model: str = ""
    context_tokens: int = Field(default=1024, ge=1024, le=CONTEXT_TOKENS_MAX)
    lanes: int = Field(default=4, ge=1, le=LANES_MAX)
    weights: Path | None = None
    hardware: str = ""
    cover_per_epoch: float = Field(default=0.0, ge=0, le=COVER_PER_EPOCH_MAX)
    corpus: Path | None = None
    replay: Path | None = None
    history: History = "window"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    blobs: BlobsConfig = BlobsConfig()
    amendments: Literal["follow", "ask"] = "follow"
    upgrade: UpgradeConfig = UpgradeConfig()
    credit: CreditConfig = CreditConfig()

    @property
    def trusted_cut(self) -> bytes | None:
        """The id (32 B) of the cut that the operator trusts."""
        return bytes.fromhex(self.trust) or None

    @field_validator("listen", mode="before")
    @classmethod
    def _one_or_more(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("listen")
    @classmethod
    def _listen(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_address(address, listening_address) for address in value)

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

    @field_validator("gateway")
    @classmethod
    def _gateway(cls, value: str) -> str:
        if value:
            parse_gateway(value)
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


def uses_mdns(listen: Sequence[str], *, wanted: bool) -> bool:
    """Whether a node listening there looks for peers by mDNS: if `wanted`, and not on loopback addresses alone."""
    hosts = [listening_address(text).host for text in listen]
    return wanted and any(not ipaddress.ip_address(host).is_loopback for host in hosts)
