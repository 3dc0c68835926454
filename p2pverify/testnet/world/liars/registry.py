"""All kinds of peers by name. `expectations` has the expected fate of each."""

from collections.abc import Callable, Mapping

from p2pverify.testnet.world.liars import (
    answers,
    challengers,
    cuts,
    gangs,
    gossip,
    identity,
    records,
    reporters,
    versions,
    votes,
)
from p2pverify.testnet.world.liars.earners import contributors, traders
from p2pverify.testnet.world.peer.actor import Actor, ActorArgs, HonestActor

KINDS: Mapping[str, Callable[[ActorArgs], Actor]] = {
    "honest": HonestActor,
    "always-wrong": answers.AlwaysWrong,
    "wrong": answers.Wrong,
    "long-only": answers.LongOnly,
    "sleeper": answers.Wrong,
    "stale-version": versions.StaleVersion,
    "rollback": versions.Rollback,
    "stolen-publisher-key": versions.StolenKey,
    "two-bodies": versions.TwoBodies,
    "freeze": versions.Freezer,
    "colluders": answers.Colluder,
    "stalling-colluders": gangs.StallingColluder,
    "duplicate-aware": gangs.DuplicateAware,
    "copier": gangs.Copier,
    "proxy": answers.Proxy,
    "silent": answers.Silent,
    "slow-hardware": answers.Slow,
    "withholder": challengers.Withholder,
    "duty-withholder": challengers.DutyWithholder,
    "slanderer": challengers.Slanderer,
    "mute-slanderer": challengers.MuteSlanderer,
    "false-reporter": reporters.FalseReporter,
    "lazy-challenger": challengers.LazyChallenger,
    "lazy-voter": votes.LazyVoter,
    "equivocator": records.Equivocator,
    "forker": records.Forker,
    "backdater": records.Backdater,
    "dribbler": records.Dribbler,
    "replayer": records.Replayer,
    "hostile-proposer": cuts.HostileProposer,
    "double-signer": cuts.DoubleSigner,
    "non-signer": cuts.NonSigner,
    "key-grinder": identity.KeyGrinder,
    "sybils": identity.Sybils,
    "join-flood": identity.JoinFlood,
    "late-support": cuts.LateSupport,
    "objection-troll": votes.ObjectionTroll,
    "bloat": records.Bloat,
    "takeover": gangs.Takeover,
    "takeover-slow": gangs.SlowTakeover,
    "sponsored": gangs.Sponsored,
    "eclipse": gossip.Eclipser,
    "spammer": gossip.Spammer,
    "wash-trader": traders.WashTrader,
    "escrow-slanderer": reporters.FalseReporter,
    **contributors.KINDS,
}


def make_actor(kind: str, args: ActorArgs) -> Actor:
    """A peer of a kind. Raises KeyError for an unknown kind."""
    return KINDS[kind](args)
