"""Cases of plain functions: the draw, the digests, the sequential test, the interval, peer ids, Merkle roots."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from vectorgen.case import Case
from vectorgen.examples import (
    ALICE,
    BETA,
    BOB,
    CANDIDATES,
    CAROL,
    COMMIT,
    CUT,
    DISPUTE,
    DISPUTED,
    EPOCH,
    LOGITS,
    NETWORK,
    NETWORK_ID,
    OUTPUT,
    PANEL_SLOT,
    RIGHT,
    VOTE_SALT,
    opening_of,
    question_of,
)
from vectorgen.streams import REQUEST

from p2pverify.core.contract import sortition
from p2pverify.core.contract.odds import TestSteps, test_steps
from p2pverify.core.contract.output import Output
from p2pverify.core.contract.shapes import RequestShape
from p2pverify.core.encoding import merkle
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.encoding.peerid import key_of, peer_id
from p2pverify.core.errors import DecodeError
from p2pverify.core.inference.question import Opening, opening_nonce, salted_digest
from p2pverify.core.records.payloads.cut import ledger_root
from p2pverify.core.records.payloads.vote import UNDERIVABLE, vote_commit
from p2pverify.core.state.score import cusum, interval_ppm

SHAPES: dict[str, Any] = {
    "prompt_tokens": 32,
    "prompt_spread": 24,
    "answer_tokens": 64,
    "answer_spread": 32,
    "temperature_milli": 800,
    "temperature_spread": 300,
    "long_permille": 0,
    "long_tokens": 0,
}
TABLE = (
    RequestShape(5, 1, 8, 0, 0, 1000),
    RequestShape(3, 1, 8, 1, 48, 0),
    RequestShape(2, 9, 40, 256, 256, 700),
)
TAIL: dict[str, Any] = {**SHAPES, "long_permille": 500, "long_tokens": 512}
CROWD = tuple(sorted(sha256(bytes([number])) for number in range(40)))


def case(comment: str, inputs: dict[str, Any], expect: object) -> Case:
    return {"comment": comment, "input": inputs, "expect": expect, "reason": None}


def _draw(
    comment: str, beta: bytes, candidates: Sequence[bytes], *, period: tuple[int, int] | None = None, **changes: Any
) -> Case:
    """The slots of an output. With a total of audits `period` has its first epoch and the members at the anchor."""
    network = replace(NETWORK, params=replace(NETWORK.params, **changes))
    rest: dict[str, Any] = {}
    if period is None:
        owed = sortition.slots(beta, network.params)
    else:
        epoch, members = period
        epochs = sortition.period_epochs(ALICE.key, epoch, members, network.params)
        owed = sortition.slots(beta, network.params, epochs=epochs, members=members)
        rest = {"author": ALICE.key.hex(), "epoch": epoch, "members": members, "epochs": epochs}
    found = [
        {
            "index": slot.index,
            "at_permille": slot.at_permille,
            "solo": slot.solo,
            "greedy": slot.greedy,
            "across": slot.across,
            "prompt_tokens": slot.prompt_tokens(network.params),
            "answer_tokens": slot.answer_tokens(network.params),
            "temperature_milli": slot.temperature_milli(network.params),
            "prompt_seed": slot.prompt_seed.hex(),
            "sample_seed": slot.sample_seed.hex(),
            "targets": [key.hex() for key in sortition.targets(beta, slot, candidates, network.params)],
        }
        for slot in owed
    ]
    inputs: dict[str, Any] = {
        "beta": beta.hex(),
        "network": network.encode().hex(),
        "candidates": [key.hex() for key in candidates],
        **rest,
    }
    return case(comment, inputs, found)


def draws() -> list[Case]:
    return [
        _draw("Alice's slots in the example", BETA, CANDIDATES),
        _draw("forty candidates, a panel of five", sha256(b"beta") * 2, CROWD, panel_size=5, slots_milli=2000),
        _draw("no candidates", sha256(b"beta") * 2, (), slots_milli=1000),
        _draw("fewer candidates than the panel", sha256(b"few") * 2, CROWD[:2], panel_size=31, slots_milli=4000),
        _draw("half a slot on average: none", sha256(b"1") * 2, CROWD, slots_milli=500),
        _draw("half a slot on average: one", sha256(b"0") * 2, CROWD, slots_milli=500),
        _draw("all greedy", sha256(b"greedy") * 2, CROWD, greedy_percent=100, slots_milli=3000),
        _draw("all across", sha256(b"across") * 2, CROWD, across_percent=100, slots_milli=3000),
        _draw("questions of many shapes", sha256(b"shapes") * 2, CROWD, slots_milli=8000, greedy_percent=20, **SHAPES),
        _draw("half of the answers long", sha256(b"long") * 2, CROWD, slots_milli=8000, **TAIL),
        _draw(
            "a table; open answers after no prompt",
            sha256(b"table") * 2,
            CROWD,
            slots_milli=8000,
            shapes=TABLE,
        ),
        _draw("a table with a tail", sha256(b"table") * 2, CROWD, slots_milli=8000, **{**TAIL, "shapes": TABLE}),
        _draw("none across", sha256(b"across") * 2, CROWD, across_percent=0, slots_milli=3000),
        *(
            _draw(
                f"a total of audits: a period from epoch {epoch} among {members} members",
                sha256(b"total %d" % epoch) * 2,
                CROWD,
                period=(epoch, members),
                slots_milli=1500,
                audits_per_epoch=10,
            )
            for epoch, members in ((77, 40), (93, 40), (80, 200), (93, 1000), (101, 12))
        ),
    ]


def inputs_of_the_vrf() -> list[Case]:
    beacon = sortition.first_beacon(NETWORK_ID)
    where: dict[str, Any] = {"network": NETWORK_ID.hex(), "epoch": EPOCH, "beacon": beacon.hex()}
    key = {"challenger": ALICE.key.hex(), "epoch": EPOCH, "slot": 2}
    return [
        case("first beacon", {"function": "first_beacon", "network": NETWORK_ID.hex()}, beacon.hex()),
        case(
            "the beacon after a cut",
            {"function": "next_beacon", "beacon": beacon.hex(), "beta": BETA.hex()},
            sortition.next_beacon(beacon, BETA).hex(),
        ),
        case(
            "VRF input of a duty",
            {"function": "duty_alpha", **where},
            sortition.duty_alpha(NETWORK_ID, EPOCH, beacon).hex(),
        ),
        case(
            "VRF input of a proposal",
            {"function": "propose_alpha", **where},
            sortition.propose_alpha(NETWORK_ID, EPOCH, beacon).hex(),
        ),
        case(
            "rank of a proposal", {"function": "proposal_rank", "beta": BETA.hex()}, sortition.proposal_rank(BETA).hex()
        ),
        case(
            "whether an undisputed audit is voted on all the same: yes",
            {"function": "is_spot_check", "beacon": BETA[:32].hex(), **key, "permille": 1000},
            sortition.is_spot_check(BETA[:32], ALICE.key, EPOCH, 2, 1000),
        ),
        case(
            "and no",
            {"function": "is_spot_check", "beacon": BETA[:32].hex(), **key, "permille": 0},
            sortition.is_spot_check(BETA[:32], ALICE.key, EPOCH, 2, 0),
        ),
        *_spot_checks(),
        case(
            "rank of a dispute", {"function": "dispute_rank", **key}, sortition.dispute_rank(ALICE.key, EPOCH, 2).hex()
        ),
    ]


def _spot_checks() -> list[Case]:
    found = []
    for slot in range(8):
        key = {"challenger": ALICE.key.hex(), "epoch": EPOCH, "slot": slot}
        inputs: dict[str, Any] = {"function": "is_spot_check", "beacon": BETA[:32].hex(), **key, "permille": 500}
        chosen = sortition.is_spot_check(BETA[:32], ALICE.key, EPOCH, slot, 500)
        found.append(case(f"every second audit on average, slot {slot}", inputs, chosen))
    return found


def _question(comment: str, **changes: Any) -> Case:
    question = replace(question_of(PANEL_SLOT), **changes)
    inputs: dict[str, Any] = {
        "function": "question",
        "manifest": question.manifest.hex(),
        "prompt": list(question.prompt),
        "tokens_max": question.tokens_max,
        "temperature_milli": question.temperature_milli,
        "seed": question.seed.hex(),
        "requester": question.requester.hex(),
    }
    return case(comment, inputs, {"id": question.id.hex(), "sampler_key": question.sampler_key.hex()})


def _nonce(comment: str, class_index: int | None, output: bytes) -> Case:
    question = question_of(PANEL_SLOT).id
    salt = opening_of(PANEL_SLOT, (BOB.key,)).salts[0]
    opening = Opening(PANEL_SLOT.index, class_index, output, (salt,))
    inputs: dict[str, Any] = {
        "function": "opening_nonce",
        "network": NETWORK_ID.hex(),
        "challenger": ALICE.key.hex(),
        "responder": BOB.key.hex(),
        "epoch": EPOCH,
        "slot": PANEL_SLOT.index,
        "question": question.hex(),
        "class": class_index,
        "output": output.hex(),
        "salt": salt.hex(),
    }
    return case(comment, inputs, opening_nonce(NETWORK_ID, ALICE.key, BOB.key, EPOCH, question, opening, 0).hex())


def _output(comment: str, tokens: tuple[int, ...], finish: str, logits: bytes = LOGITS) -> Case:
    question = question_of(PANEL_SLOT).id
    inputs: dict[str, Any] = {
        "function": "output_digest",
        "question": question.hex(),
        "tokens": list(tokens),
        "finish": finish,
        "logits": logits.hex(),
    }
    return case(comment, inputs, Output(tokens, finish, logits).digest(question).hex())


def digests() -> list[Case]:
    request: dict[str, Any] = {
        "function": "request",
        "network": NETWORK_ID.hex(),
        "requester": REQUEST.requester.hex(),
        "responder": REQUEST.responder.hex(),
        "question": REQUEST.question.hex(),
        "nonce": REQUEST.nonce.hex(),
        "expiry_epoch": REQUEST.expiry_epoch,
    }
    salted: dict[str, Any] = {
        "function": "salted_digest",
        "request": REQUEST.id.hex(),
        "responder": BOB.key.hex(),
        "class": 0,
        "output": OUTPUT.hex(),
    }
    commit: dict[str, Any] = {
        "function": "vote_commit",
        "network": NETWORK_ID.hex(),
        "challenger": DISPUTE.challenger.hex(),
        "epoch": DISPUTE.epoch,
        "slot": DISPUTE.slot,
        "voter": BOB.key.hex(),
        "class": 0,
        "output": OUTPUT.hex(),
        "salt": VOTE_SALT.hex(),
    }
    other = salted_digest(REQUEST.id, CAROL.key, 0, OUTPUT)
    assert vote_commit(NETWORK_ID, DISPUTE, BOB.key, 0, OUTPUT, VOTE_SALT) == COMMIT.commit
    assert any(asked.nonce == REQUEST.nonce for asked in DISPUTED.asked)
    return [
        _question("the example's question"),
        _question("the same under another name has another sampler", requester=BOB.key),
        _question("greedy", temperature_milli=0),
        _output("four tokens, then the end", RIGHT, "stop"),
        _output("the same tokens, cut off", RIGHT, "length"),
        _output("no token", (), "stop"),
        _output("the same tokens from other logits", RIGHT, "stop", sha256(b"other rows")),
        _output("the same of an engine that shows no logits", RIGHT, "stop", bytes(32)),
        case("id of a request", request, REQUEST.id.hex()),
        case("a receipt's salted digest", salted, salted_digest(REQUEST.id, BOB.key, 0, OUTPUT).hex()),
        case(
            "the same answer of another peer looks unlike",
            {**salted, "responder": CAROL.key.hex()},
            other.hex(),
        ),
        _nonce("the nonce of an audit", 0, OUTPUT),
        _nonce("the nonce of a challenger that abstained", None, bytes(32)),
        case("a voter's commit", commit, COMMIT.commit.hex()),
        case("the answer of those who cannot derive the question", {"function": "underivable"}, UNDERIVABLE.hex()),
    ]


def steps() -> list[Case]:
    rows = [
        (10_000, 100_000, 10**6),
        (1_000, 100_000, 10**6),
        (1, 999_999, 10**12),
        (5_000, 50_000, 10**4),
        (999_998, 999_999, 10),
    ]
    found = []
    for honest, cheat, odds in rows:
        made = test_steps(honest, cheat, odds)
        inputs: dict[str, Any] = {"honest_ppm": honest, "cheat_ppm": cheat, "conviction_odds": odds}
        comment = f"{honest} ppm against {cheat} ppm, odds of {odds}"
        found.append(case(comment, inputs, asdict(made)))
    return found


def tests() -> list[Case]:
    """Dissents and agreements of cuts, and the value after each cut."""
    rows: list[tuple[str, int, list[list[int]]]] = [
        ("six dissents in a row do not convict, seven do", 10_000, [[1, 0]] * 7),
        ("agreements in between delay it", 10_000, [[1, 10]] * 9 + [[2, 0]]),
        ("never below zero", 10_000, [[0, 50], [1, 0], [0, 100], [1, 0]]),
        ("bit-exact class: three dissents do not convict, four do", 1_000, [[1, 0]] * 4),
        ("all of one cut counts at once, so the order inside of it cannot matter", 1_000, [[3, 40], [0, 1000]]),
    ]
    found = []
    for comment, honest, cuts in rows:
        made = test_steps(honest, 100_000, 10**6)
        inputs: dict[str, Any] = {
            "up": made.up,
            "down": made.down,
            "threshold": made.threshold,
            "cuts": cuts,
        }
        found.append(case(comment, inputs, _run(made, cuts)))
    return found


def _run(made: TestSteps, cuts: list[list[int]]) -> dict[str, Any]:
    value, values = 0, []
    for dissents, agreements in cuts:
        value = cusum(value, dissents, agreements, made)
        values.append(value)
    return {"values": values, "convicted": any(each >= made.threshold for each in values)}


def intervals() -> list[Case]:
    rows = [(0, 0), (1, 0), (0, 1), (10, 0), (0, 10), (9, 1), (99, 1), (1000, 0), (950, 50), (123_456, 789)]
    found = []
    for agreements, dissents in rows:
        low, high = interval_ppm(agreements, dissents)
        inputs: dict[str, Any] = {"agreements": agreements, "dissents": dissents}
        comment = f"{agreements} agreements, {dissents} dissents"
        found.append(case(comment, inputs, {"low_ppm": low, "high_ppm": high}))
    return found


def peer_ids() -> list[Case]:
    good = [case(f"{peer.name}'s key", {"key": peer.key.hex()}, peer_id(peer.key)) for peer in (ALICE, BOB, CAROL)]
    good.append(case("a key of zeroes, which is no point", {"key": bytes(32).hex()}, peer_id(bytes(32))))
    text = peer_id(ALICE.key)
    rows = [
        ("nothing", ""),
        ("a letter that base58 lacks", text[:-1] + "0"),
        ("the last letter missing", text[:-1]),
        ("a letter more", text + "1"),
        ("a leading 1 more, which is a zero byte", "1" + text),
        ("an RSA key's id", "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"),
        ("65 letters", "1" * 65),
        ("a blank before it", " " + text),
        ("the key in hexadecimal", ALICE.key.hex()),
    ]
    return good + [_no_peer_id(comment, wrong) for comment, wrong in rows]


def _no_peer_id(comment: str, text: str) -> Case:
    try:
        key_of(text)
    except DecodeError as error:
        return {"comment": comment, "input": {"text": text}, "expect": None, "reason": error.reason}
    raise AssertionError(f"{comment} is a peer id")


def roots() -> list[Case]:
    rows = {
        "no heads": (),
        "the heads of the example's cut": CUT.moved,
        "one head": CUT.moved[:1],
        "five heads": tuple((key, 3, sha256(key)) for key in CROWD[:5]),
    }
    return [
        case(comment, {"heads": [[a.hex(), seq, i.hex()] for a, seq, i in heads]}, ledger_root(heads).hex())
        for comment, heads in rows.items()
    ]


def inclusions() -> list[Case]:
    """Proofs that a leaf is in a tree: every position of small trees, and changes that must not hold."""
    found: list[Case] = []
    for count in (1, 2, 3, 4, 5, 7, 8, 13):
        leaves = [b"leaf %d" % number for number in range(count)]
        hashes = [merkle.leaf(data) for data in leaves]
        for index in range(count):
            path = merkle.inclusion_path(hashes, index)
            found.append(_inclusion(f"leaf {index} of {count}", leaves[index], index, count, path, merkle.root(leaves)))
    leaves = [b"leaf %d" % number for number in range(5)]
    path, root = merkle.inclusion_path([merkle.leaf(data) for data in leaves], 2), merkle.root(leaves)
    wrong = {
        "another leaf": (leaves[3], 2, 5, path),
        "another position": (leaves[2], 3, 5, path),
        "a position beyond the leaves": (leaves[2], 5, 5, path),
        "another number of leaves": (leaves[2], 2, 4, path),
        "no leaves": (leaves[2], 0, 0, ()),
        "a path that is too short": (leaves[2], 2, 5, path[:-1]),
        "a path that is too long": (leaves[2], 2, 5, (*path, bytes(32))),
        "a path from the root downwards": (leaves[2], 2, 5, path[::-1]),
        "the hash of a leaf as the leaf": (merkle.leaf(leaves[2]), 2, 5, path),
    }
    return found + [_inclusion(comment, *parts, root, holds=False) for comment, parts in wrong.items()]


def _inclusion(
    comment: str, leaf: bytes, index: int, count: int, path: Sequence[bytes], root: bytes, *, holds: bool = True
) -> Case:
    assert (merkle.root_of_path(merkle.leaf(leaf), index, count, path) == root) == holds
    inputs: dict[str, object] = {
        "leaf": leaf.hex(),
        "index": index,
        "count": count,
        "path": [each.hex() for each in path],
        "root": root.hex(),
    }
    return {**case(comment, inputs, holds), "reason": None if holds else "does not lead to the root"}


def cases() -> dict[Path, list[Case]]:
    return {
        Path("draw/slots.json"): draws(),
        Path("draw/beacons.json"): inputs_of_the_vrf(),
        Path("digests/digests.json"): digests(),
        Path("score/steps.json"): steps(),
        Path("score/cusum.json"): tests(),
        Path("score/interval.json"): intervals(),
        Path("peerid"): peer_ids(),
        Path("ledger/root.json"): roots(),
        Path("merkle/inclusion.json"): inclusions(),
    }
