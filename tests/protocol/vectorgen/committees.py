"""Cases of committees: lots, seats, the work of late voters, and the fold of a dispute that nine have decided."""

from pathlib import Path

from vectorgen.book import Book
from vectorgen.case import Case
from vectorgen.examples import BEACON, BOB, CAROL, DISPUTE, NETWORK_ID, OUTPUT, VOTE_SALT

from p2pverify.core.blind import committees
from p2pverify.core.blind.committees import COMMITTEES
from p2pverify.core.encoding import sign, vrf
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.records.payloads import lots
from p2pverify.core.records.payloads.vote import vote_commit
from tests.support.hearing import Hearing

VOTERS = 32
SIGNERS = 22  # two thirds of the founders
WORK = sha256(b"work")


def case(comment: str, inputs: dict[str, object], expect: object) -> Case:
    return {"comment": comment, "input": inputs, "expect": expect, "reason": None}


def _dispute() -> dict[str, object]:
    return {
        "network": NETWORK_ID.hex(),
        "challenger": DISPUTE.challenger.hex(),
        "epoch": DISPUTE.epoch,
        "slot": DISPUTE.slot,
    }


def lot_cases() -> list[Case]:
    """The same lots with many voters and with few."""
    found = []
    for peer, stage, voters in ((BOB, 1, 32), (CAROL, 1, 32), (BOB, 1, 500), (BOB, 2, 70), (CAROL, 2, 500)):
        alpha = lots.lot_alpha(NETWORK_ID, DISPUTE, stage, BEACON)
        proof = vrf.prove(peer.vrf_seed, alpha)
        beta = vrf.proof_to_beta(proof)
        inputs = {
            **_dispute(),
            "stage": stage,
            "beacon": BEACON.hex(),
            "vrf_key": peer.vrf_key.hex(),
            "proof": proof.hex(),
            "voters": voters,
        }
        drawn = committees.is_drawn(beta, stage, voters)
        expect = {"alpha": alpha.hex(), "output": beta.hex(), "drawn": drawn}
        found.append(case(f"{peer.name} for stage {stage}, of {voters} voters", inputs, expect))
    return found


def bars() -> list[Case]:
    """Outputs near the bar."""
    found = []
    for stage, voters in ((1, 32), (1, 100), (2, 63), (2, 1000)):
        bar = -(-(2 * COMMITTEES[stage].seats << 64) // voters)
        for comment, number in (("the highest that is drawn", bar - 1), ("the lowest that is not", bar)):
            output = number.to_bytes(8, "big") + bytes(56)
            inputs: dict[str, object] = {"stage": stage, "voters": voters, "output": output.hex()}
            drawn = committees.is_drawn(output, stage, voters)
            found.append(case(f"stage {stage}, {voters} voters: {comment}", inputs, drawn))
    return found


def seats() -> list[Case]:
    def seated(comment: str, stage: int, count: int) -> Case:
        outputs = {sha256(b"voter %d" % each): sha256(b"lot %d" % each) * 2 for each in range(count)}
        taken = committees.take_seats(outputs, stage)
        given = [[voter.hex(), output.hex()] for voter, output in sorted(outputs.items())]
        inputs: dict[str, object] = {"stage": stage, "lots": given}
        return case(comment, inputs, [voter.hex() for voter in sorted(taken)])

    return [
        seated("nine of twelve", 1, 12),
        seated("nine of nine", 1, 9),
        seated("eight are none", 1, 8),
        seated("thirty-one of thirty-three", 2, 33),
    ]


def shown() -> list[Case]:
    made = lots.shown_work(NETWORK_ID, DISPUTE, 2, WORK)
    sealed = vote_commit(NETWORK_ID, DISPUTE, BOB.key, 0, OUTPUT, VOTE_SALT, made)
    inputs = {**_dispute(), "stage": 2, "work": WORK.hex()}
    voted = {"voter": BOB.key.hex(), "class": 0, "output": OUTPUT.hex(), "salt": VOTE_SALT.hex()}
    return [
        case("of stage 2, and the commit with it", {**inputs, **voted}, {"shown": made.hex(), "commit": sealed.hex()})
    ]


def folds() -> list[Case]:
    """Few records: 22 of 32 founders sign, and ten volunteer. One of these has a lot for another committee."""
    hearing = Hearing(VOTERS)
    story = hearing.story
    story.founders = story.seeds[:SIGNERS]
    hearing.cut()
    drawn = hearing.drawn()[: COMMITTEES[1].seats + 1]
    hearing.seal(drawn[:-1], hearing.right)
    hearing.seal(drawn[-1:], hearing.right, lot=hearing.lot(drawn[-1], beacon=story.anchor.beacon))
    hearing.cut(3)
    seated = [seed for seed in drawn if sign.public_key(seed) in hearing.dispute.round.seats]
    hearing.open(seated, hearing.right)
    hearing.open_challenger()
    hearing.cut()
    assert hearing.dispute.decision is not None
    book = Book(story.network, story.book.order)
    return [book.case("nine seats decide for thirty-two voters", hearing.state.id)]


def cases() -> dict[Path, list[Case]]:
    return {
        Path("committee/lots.json"): lot_cases(),
        Path("committee/bars.json"): bars(),
        Path("committee/seats.json"): seats(),
        Path("committee/shown.json"): shown(),
        Path("fold/committees.json"): folds(),
    }
