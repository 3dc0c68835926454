"""The entries of the book: each way to cheat, how it is judged, and its expected fate.

`NUMERIC` has the lies of an engine, played with real answers. `SIMULATED` has the attacks on the protocol, played in
the simulated world; their expected fates are in `world.liars.expectations`.
"""

from dataclasses import dataclass
from typing import Any, Literal

from p2pverify.core.contract.history.training import OPEN
from p2pverify.testnet.world.economy.plan import RoundsPlan
from p2pverify.testnet.world.liars.expectations import FATES, FateRule
from p2pverify.testnet.world.plan import UpgradePlan

RATES = (1.0, 0.5, 0.2, 0.1, 0.05)
#: A world with at least this many peers is a crowd and is played with CROWD_RULES.
CROWD_PEERS = 50


#: The simulated world has no files, so a download is played for this kind instead.
FALSE_CHUNKS = "false-chunks"
DROPPED = FateRule(
    "dropped",
    "Each chunk is held against the chunk list, and the list against the release. A peer that sends one false chunk is "
    "asked for nothing more of the file.",
)


@dataclass(frozen=True, slots=True)
class Numeric:
    """An engine's lie.

    `in_class` and `across` are the promised shares of its false answers that one audit finds: None if nothing is
    promised, 0 if it cannot be found. `why` has the reason. With `warm`, the engine has answered other questions
    before. With `sampled`, it lies about the sampler, so its greedy answers are no lies. With `long`, it lies in long
    answers alone. With `to_clients`, it lies to clients alone, so clients ask, and their own audits are counted.
    """

    kind: str
    what: str
    in_class: float | None = 1.0
    across: float | None = 0.99
    why: str = ""
    warm: bool = False
    sampled: bool = False
    long: bool = False
    to_clients: bool = False

    @property
    def is_apart(self) -> bool:
        """Whether it is asked questions of its own."""
        return self.long or self.to_clients


#: Pay for the updates of rounds, for votes on their results and in disputes, or all that a peer has.
Pay = Literal["training", "votes", "all"]


@dataclass(frozen=True, slots=True)
class Simulated:
    """An attack on the protocol by `hostile` of `peers` peers, at the rate `rate`, played for `epochs` epochs.

    With one determinism class, digests judge it; with several `classes`, also the referee across classes. With
    `founders`, the hostile peers have weight from the start. With `upgrades`, the model has several versions. With
    `rounds`, members train a line. `pay` is what the cheat is about: the world has a tariff then.
    """

    kind: str
    peers: int = 13
    hostile: int = 1
    rate: float = 1.0
    epochs: int = 24
    founders: bool = False
    onset_epoch: int = 0
    classes: int = 1
    why: str = ""
    upgrades: tuple[UpgradePlan, ...] = ()
    rounds: RoundsPlan | None = None
    pay: Pay | None = None

    @property
    def is_crowd(self) -> bool:
        return self.peers >= CROWD_PEERS

    @property
    def is_blocking(self) -> bool:
        """Whether the hostile peers can prevent the certification of cuts. Then only provisional views convict them."""
        return self.founders and 3 * self.hostile >= self.peers

    @property
    def reason(self) -> str:
        return self.why or self.rule.why

    @property
    def rule(self) -> FateRule:
        """The expected fate."""
        return DROPPED if self.kind == FALSE_CHUNKS else FATES[self.kind]


GREEDY = "Greedy answers have no seed and no temperature to get wrong; FOUND counts the others."

FREE_RIDE = (
    "Its answers are right. Who has another machine of the same model do the work cannot be told from one that does it "
    "itself, but by how long it takes."
)

SMALL_MARGINS = (
    "Its margins across classes are as small as honest ones. Within a class each token that differs is found; an "
    "answer without one is right, with the right logits."
)
SPENT = (
    "It computes the total of its margins in its own class, and the referee's total differs. So some answers are above "
    "the bound of a match, and few above that of a mismatch. Within a class each token that differs is found."
)
SURE = (
    "It lies only where the cheaper model is certain and wrong. Such a token has a large margin. Its other answers are "
    "right."
)
LONG = "One audit in a hundred asks for a long answer, and it lies in those alone. FOUND counts its long answers."

CLIENTS = (
    "It is honest to every auditor of the network, so AUDITS counts one client's own audits, until 'me' flags it. "
    "Within a class reports convict it."
)

NUMERIC: tuple[Numeric, ...] = (
    Numeric("prune", "leaves out 6 of 30 layers"),
    Numeric(
        "quantize:q8_0",
        "Q8_0 for Q4_1",
        1.0,
        0.0,
        "Its answers differ from the promised model's by no more than those of another CPU do.",
    ),
    Numeric("quantize:q5_0", "Q5_0 for Q4_1", 1.0, 0.95),
    Numeric("quantize:q4_0", "Q4_0 for Q4_1"),
    Numeric("quantize:q3", "3 bits for Q4_1"),
    Numeric("other-model", "other weights"),
    Numeric("canned", "the answer to another prompt"),
    Numeric(
        "cache",
        "remembered answers to near prompts",
        None,
        None,
        "It lies only where it remembers something near, and is right otherwise: its rate is that of its hits.",
        warm=True,
    ),
    Numeric("truncate", "stops halfway"),
    Numeric("wrong-seed", "another seed", 1.0, 0.99, GREEDY, sampled=True),
    Numeric("temperature", "1.0 for 0.8", 0.95, 0.95, GREEDY, sampled=True),
    Numeric("system-prompt", "hidden instructions", 1.0, 0.95),
    Numeric("garbage", "runs no model"),
    Numeric("prefill-evidence", "a cheaper model's answers, with the real one's logits"),
    Numeric(
        "draft", "a cheaper model's drafts, corrected where the margin is above 0.1 nats", None, 0.0, SMALL_MARGINS
    ),
    Numeric("budget", "a cheaper model's drafts, corrected to stay a match", None, None, SPENT),
    Numeric("certain", "a cheaper model's tokens where it is all but certain", None, None, SURE),
    Numeric("long-only", "a cheaper model's long answers", 1.0, 0.99, LONG, long=True),
    Numeric("lies-to-clients", "Q4_0 for Q4_1, to clients alone", 1.0, 0.99, CLIENTS, to_clients=True),
    Numeric("rented", "has another machine of the model answer, over a back door", 0.0, 0.0, FREE_RIDE),
)

_RELEASE = (UpgradePlan(2, "release"),)
_RECALL = (*_RELEASE, UpgradePlan(10, "recall"))
#: At the end version 0 is retired, and version 2 recalled.
_TWO = (*_RELEASE, UpgradePlan(9, "release"), UpgradePlan(17, "recall"))

_TRAINS: dict[str, Any] = {"peers": 10, "epochs": 48, "founders": True, "rounds": RoundsPlan(), "pay": "training"}

SIMULATED: tuple[Simulated, ...] = (
    Simulated("wrong", epochs=24),
    Simulated("wrong", rate=0.2, epochs=72),
    Simulated("wrong", peers=14, epochs=32, classes=4),
    Simulated("long-only", epochs=40),
    Simulated("sleeper", onset_epoch=8, epochs=32),
    Simulated("duplicate-aware", hostile=3, epochs=32),
    Simulated("copier", hostile=3, epochs=32),
    Simulated("colluders", hostile=3, epochs=32),
    Simulated("proxy"),
    Simulated("lazy-challenger"),
    Simulated("lazy-voter"),
    Simulated("withholder"),
    Simulated("duty-withholder"),
    Simulated("slanderer"),
    Simulated("mute-slanderer"),
    Simulated("false-reporter", epochs=40, founders=True),
    Simulated("stale-version", epochs=32, upgrades=_RELEASE),
    Simulated("rollback", hostile=2, epochs=28, upgrades=_TWO),
    Simulated("stolen-publisher-key", epochs=20, onset_epoch=6, upgrades=_RECALL),
    Simulated("two-bodies", epochs=20, onset_epoch=6, upgrades=_RELEASE),
    Simulated("freeze", hostile=4, founders=True, upgrades=_RECALL),
    Simulated(FALSE_CHUNKS, hostile=3),
    Simulated("equivocator"),
    Simulated("forker"),
    Simulated("backdater"),
    Simulated("dribbler"),
    Simulated("replayer"),
    Simulated("hostile-proposer", epochs=40, founders=True),
    Simulated("double-signer", epochs=40, founders=True),
    Simulated("non-signer", hostile=4, founders=True),
    Simulated("key-grinder"),
    Simulated("sybils", hostile=3),
    Simulated("join-flood"),
    Simulated("bloat"),
    Simulated("late-support", hostile=2, epochs=40, founders=True),
    Simulated("objection-troll", hostile=4, founders=True),
    Simulated("takeover", peers=12, hostile=7, epochs=56),
    Simulated("takeover-slow", peers=12, hostile=7, epochs=64),
    Simulated("sponsored", peers=12, hostile=7, epochs=44),
    Simulated("eclipse"),
    Simulated("spammer"),
    Simulated("silent"),
    Simulated("slow-hardware", peers=8, epochs=48, founders=True),
    *(Simulated(kind, **_TRAINS) for kind in ("poison-labels", "poison-sign", "boost", "free-rider", "copy-update")),
    Simulated("overspend", **{**_TRAINS, "rounds": RoundsPlan(with_noise=True)}),
    Simulated("short-training", **{**_TRAINS, "rounds": RoundsPlan(mode=OPEN)}),
    Simulated("lazy-evaluator", **{**_TRAINS, "rounds": RoundsPlan(hostile_train=False), "pay": "votes"}),
    Simulated("wash-trader", peers=10, hostile=2, epochs=48, founders=True, pay="all"),
    Simulated("escrow-slanderer", peers=10, epochs=48, founders=True, pay="all"),
)

_BLOCKING = (
    "With 40 % of the weight they keep the cut from being certified that convicts them, and with it all that follows. "
    "Every honest peer's provisional view convicts them."
)
CROWDS: tuple[Simulated, ...] = (
    Simulated("stalling-colluders", 100, 30, 1.0, 30, founders=True),
    Simulated("stalling-colluders", 100, 30, 0.2, 44, founders=True),
    Simulated("stalling-colluders", 100, 40, 1.0, 30, founders=True, why=_BLOCKING),
    Simulated("stalling-colluders", 100, 40, 0.2, 44, founders=True, why=_BLOCKING),
)
