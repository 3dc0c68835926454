"""The verdict of a case study: what must hold of its facts, and a sentence on each peer for readers."""

from collections.abc import Iterable, Sequence

from p2pverify.engine.cheats.kinds import CheaterFate
from p2pverify.testnet.cases.facts import AccountFacts, CheckFacts, ModelVersionFacts, PeerFacts, RoundFacts

#: The fate of what people do and no process: readers see it.
SHOWN = "shown"
#: A cheater that is to be unpaid may have this part of all credit. An equal part would be a sixth.
UNPAID_SHARE = 0.1
_EARN_NOTHING = (CheaterFate.UNPAID, CheaterFate.UNCOUNTED)
#: The AUC of so few test rows is no more exact than this.
AUC_SLACK = 0.01


def checks_of(
    peers: Sequence[PeerFacts],
    rounds: Sequence[RoundFacts],
    versions: Sequence[ModelVersionFacts],
    wanted: int,
    alone: float,
) -> list[CheckFacts]:
    """What must hold in every case. `wanted` is the number of decided rounds."""
    decided = [each for each in rounds if each.stands]
    honest = [peer for peer in peers if peer.cheat is None or peer.expected == SHOWN]
    convicted = [peer.name for peer in honest if peer.standing == "convicted"]
    found = [
        CheckFacts(
            what=f"{wanted} rounds are decided, each by more than two thirds of its voters",
            found=", ".join(f"{each.agreed} of {each.voters}" for each in decided),
            holds=len(decided) == wanted and all(3 * each.agreed > 2 * each.voters for each in decided),
        ),
        CheckFacts(
            what=f"the last version is as good as the mean of models trained alone, or at most {AUC_SLACK} below",
            found=f"AUC {versions[-1].auc:.3f}, alone {alone:.3f}",
            holds=versions[-1].auc >= alone - AUC_SLACK,
        ),
        CheckFacts(what="no honest peer is convicted", found=", ".join(convicted) or "none", holds=not convicted),
    ]
    cheaters = [peer for peer in peers if peer.cheat is not None and peer.expected != SHOWN]
    return [*found, *(_fate_check(peer, peers, len(decided)) for peer in cheaters)]


def money_checks(peers: Sequence[PeerFacts], accounts: Sequence[AccountFacts], pledged: int) -> list[CheckFacts]:
    """What must hold of the accounts of a network with a tariff. `pledged` is the most that rounds can have earned."""
    total = sum(one.total for one in accounts)
    training = sum(one.training for one in accounts)
    idle = [peer for peer in peers if peer.cheat is not None and peer.expected in _EARN_NOTHING]
    most = max((peer.paid or 0 for peer in idle), default=0)
    lost = {one.name: one.forfeited for one in accounts}
    convicted = [peer.name for peer in peers if peer.standing == "convicted"]
    forfeits = [lost.get(name, 0) for name in convicted]
    return [
        CheckFacts(what="the sum of all accounts is 0", found=str(total), holds=bool(accounts) and total == 0),
        CheckFacts(
            what="rounds were paid, and no more than was pledged",
            found=f"{training} of {pledged} millionths",
            holds=0 < training <= pledged,
        ),
        CheckFacts(
            what=f"who contributes nothing has at most {UNPAID_SHARE:.0%} of the pay for training",
            found=f"{most} of {training} millionths",
            holds=most <= UNPAID_SHARE * training,
        ),
        CheckFacts(
            what="who is convicted has forfeited pay",
            found=", ".join(f"{name} {amount}" for name, amount in zip(convicted, forfeits, strict=True)) or "nobody",
            holds=all(forfeits),
        ),
    ]


def _fate_check(peer: PeerFacts, peers: Iterable[PeerFacts], decided: int) -> CheckFacts:
    """Whether a cheater has the fate that its kind has in theory."""
    who = f"{peer.name} ({peer.cheat})"
    match peer.expected:
        case CheaterFate.UNPAID:
            return CheckFacts(
                what=f"{who} earns at most {UNPAID_SHARE:.0%} of all credit, and is not convicted",
                found=f"{peer.share:.1%}, {peer.standing}",
                holds=peer.share <= UNPAID_SHARE and peer.standing != "convicted" and peer.counted > 0,
            )
        case CheaterFate.UNCOUNTED:
            return CheckFacts(
                what=f"{who} seals updates that do not count, and is not convicted",
                found=f"{peer.sealed} sealed, {peer.counted} counted, {peer.standing}",
                holds=peer.sealed > peer.counted and peer.standing != "convicted" and peer.counted < decided,
            )
        case CheaterFate.LATE:
            others = [one.late for one in peers if one.counted and one.cheat is None]
            return CheckFacts(
                what=f"{who} is later than each honest contributor on average, and is not convicted",
                found=f"{peer.late:.1f} cuts late, the others at most {max(others, default=0):.1f}",
                holds=peer.late > max(others, default=0) and peer.standing != "convicted",
            )
        case _:
            return CheckFacts(
                what=f"{who} is convicted",
                found=f"{peer.standing} after {peer.dissents} lost disputes and {peer.audits} audits",
                holds=peer.standing == "convicted",
            )


def note_of(peer: PeerFacts, decided: int) -> str:
    """A sentence on a peer: what came of it, and why."""
    parts = []
    if peer.found.get("false"):
        parts.append(f"{_times(peer.found['false'])} the others trained again and got another update")
    if peer.marked:
        parts.append(f"its update was worth less than nothing on most of the others' rows {_times(peer.marked)}")
    if peer.quarantined:
        parts.append("left out of the model since")
    if peer.sealed > peer.counted and peer.cheat is not None:
        parts.append(f"{peer.sealed - peer.counted} of {peer.sealed} sealed updates broke a rule, and do not count")
    if peer.standing == "convicted" and not peer.found.get("false"):
        parts.append(f"its answers were wrong: {peer.dissents} disputes lost")
    if peer.rows and not parts and peer.counted < decided:
        parts.append(f"in {peer.counted} of {decided} rounds")
    if peer.rows and not parts and peer.on_time < peer.counted:
        parts.append(f"sealed later than the first cut {_times(peer.counted - peer.on_time)}")
    return "; ".join(parts)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
