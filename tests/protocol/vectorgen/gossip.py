"""Cases of gossip: frames and their meaning, message ids, and scores that follow from events.

The frames are written byte by byte here, without the codec that the tests use for reading.
"""

from collections.abc import Iterable
from pathlib import Path

from vectorgen.case import Case

from p2pverify.core.gossip.types import message_id, records_topic
from tests.support.score_trace import Event, run_trace

TOPIC = records_topic(bytes([0x11]) * 32)
MID, MID_2 = message_id(b"abc"), message_id(b"abcd")


# Protobuf by hand: a field is its number and wire type in a varint, then a varint or length-prefixed bytes.


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def text(number: int, data: bytes | str) -> bytes:
    body = data.encode() if isinstance(data, str) else data
    return varint(number << 3 | 2) + varint(len(body)) + body


def count(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def subscription(subscribe: int, topic: str | bytes) -> bytes:
    return text(1, count(1, subscribe) + text(2, topic))


def message(data: bytes, topic: str | bytes = TOPIC, *others: bytes) -> bytes:
    return text(2, b"".join([text(2, data), text(4, topic), *others]))


def control(*parts: bytes) -> bytes:
    return text(3, b"".join(parts))


def ihave(topic: str, ids: Iterable[bytes]) -> bytes:
    return text(1, text(1, topic) + b"".join(text(2, mid) for mid in ids))


def iwant(ids: Iterable[bytes]) -> bytes:
    return text(2, b"".join(text(1, mid) for mid in ids))


def idontwant(ids: Iterable[bytes]) -> bytes:
    return text(5, b"".join(text(1, mid) for mid in ids))


def graft(topic: str) -> bytes:
    return text(3, text(1, topic))


def prune(topic: str, *others: bytes) -> bytes:
    return text(4, b"".join([text(1, topic), *others]))


def _means(**parts: object) -> dict[str, object]:
    nothing: dict[str, object] = {
        "subscriptions": [],
        "publish": [],
        "ihave": [],
        "iwant": [],
        "graft": [],
        "prune": [],
        "idontwant": [],
    }
    return {**nothing, **parts}


def _published(*datas: bytes, forbidden: bool = False) -> list[dict[str, object]]:
    return [{"topic": TOPIC, "data": data.hex(), "forbidden_fields": forbidden} for data in datas]


def _frame(comment: str, rpc: bytes, *, written: bool = True, **parts: object) -> Case:
    """A valid frame. With `written`, an encoder makes exactly these bytes from its meaning."""
    inputs: dict[str, object] = {"rpc": rpc.hex(), "written": written}
    return {"comment": comment, "input": inputs, "expect": _means(**parts), "reason": None}


def _malformed(comment: str, rpc: bytes, reason: str, *, times: int = 1) -> Case:
    inputs: dict[str, object] = {"rpc": rpc.hex(), "times": times}
    return {"comment": comment, "input": inputs, "expect": "malformed", "reason": reason}


def frames() -> list[Case]:
    whole = b"".join(
        [
            subscription(1, TOPIC),
            message(b"abc"),
            control(ihave(TOPIC, [MID]), iwant([MID_2]), graft(TOPIC), prune("other", count(3, 15))),
        ]
    )
    good = [
        _frame("one message", message(b"abc"), publish=_published(b"abc")),
        _frame(
            "three messages share a frame",
            b"".join(map(message, (b"1", b"2", b"3"))),
            publish=_published(b"1", b"2", b"3"),
        ),
        _frame("a message without content", message(b""), publish=_published(b"")),
        _frame("a greeting", subscription(1, TOPIC), subscriptions=[[True, TOPIC]]),
        _frame("a farewell", subscription(0, TOPIC), subscriptions=[[False, TOPIC]]),
        _frame("IHAVE of two ids", control(ihave(TOPIC, [MID, MID_2])), ihave=[[TOPIC, [MID.hex(), MID_2.hex()]]]),
        _frame("IWANT of two ids", control(iwant([MID, MID_2])), iwant=[MID.hex(), MID_2.hex()]),
        _frame(
            "two IWANTs are one list",
            control(iwant([MID]), iwant([MID_2])),
            written=False,
            iwant=[MID.hex(), MID_2.hex()],
        ),
        _frame("IDONTWANT of two ids", control(idontwant([MID, MID_2])), idontwant=[MID.hex(), MID_2.hex()]),
        _frame(
            "a message, and IDONTWANT of another",
            message(b"abc") + control(idontwant([MID_2])),
            publish=_published(b"abc"),
            idontwant=[MID_2.hex()],
        ),
        _frame("GRAFT", control(graft(TOPIC)), graft=[TOPIC]),
        _frame("PRUNE for 15 seconds", control(prune(TOPIC, count(3, 15))), prune=[[TOPIC, 15]]),
        _frame("PRUNE without a time", control(prune(TOPIC)), prune=[[TOPIC, None]]),
        _frame(
            "PRUNE for 2^64 - 1 seconds: a receiver cuts it",
            control(prune(TOPIC, count(3, 2**64 - 1))),
            prune=[[TOPIC, 2**64 - 1]],
        ),
        _frame(
            "PRUNE with peers: they are not read",
            control(prune(TOPIC, text(2, text(1, b"peer") + text(2, b"record")), count(3, 15))),
            written=False,
            prune=[[TOPIC, 15]],
        ),
        _frame(
            "everything at once",
            whole,
            subscriptions=[[True, TOPIC]],
            publish=_published(b"abc"),
            ihave=[[TOPIC, [MID.hex()]]],
            iwant=[MID_2.hex()],
            graft=[TOPIC],
            prune=[["other", 15]],
        ),
        _frame("nothing", b""),
        _frame(
            "an unknown field is passed over",
            message(b"abc") + text(15, b"later"),
            written=False,
            publish=_published(b"abc"),
        ),
        _frame("control of gossipsub v1.3 is passed over", control(text(6, b"")), written=False),
        *[
            _frame(
                f"a message with {name}: well-formed, and a fault",
                message(b"abc", TOPIC, field),
                written=False,
                publish=_published(b"abc", forbidden=True),
            )
            for name, field in (
                ("from", text(1, b"peer")),
                ("seqno", text(3, bytes(8))),
                ("signature", text(5, bytes(64))),
                ("key", text(6, bytes(36))),
                ("an empty signature", text(5, b"")),
            )
        ],
    ]
    bad = [
        _malformed("half a message", message(b"abc")[:-1], "truncated"),
        _malformed("a length beyond the frame", bytes.fromhex("12ff01"), "truncated"),
        _malformed("a tag that does not end", bytes.fromhex("8080"), "truncated"),
        _malformed("a varint of eleven bytes", bytes.fromhex("78" + "80" * 10 + "01"), "overlong varint"),
        _malformed("field number 0", bytes.fromhex("0200"), "no field has the number 0"),
        _malformed("wire type 7", bytes.fromhex("1700"), "unknown wire type"),
        _malformed("a group that does not end", bytes.fromhex("7b"), "truncated"),
        _malformed("a group that ends without a beginning", bytes.fromhex("7c"), "unmatched end of a group"),
        _malformed("a message without a topic", text(2, text(2, b"abc")), "not exactly one topic"),
        _malformed("a message with two topics", message(b"abc", TOPIC, text(4, "other")), "not exactly one topic"),
        _malformed("a message whose topic is not UTF-8", message(b"abc", b"\xff"), "a topic is not UTF-8"),
        _malformed("a subscription whose topic is not UTF-8", subscription(1, b"\xc3"), "a topic is not UTF-8"),
        _malformed("GRAFT whose topic is not UTF-8", control(text(3, text(1, b"\x80"))), "a topic is not UTF-8"),
        _malformed("GRAFT that is cut short", control(b"\x1a\x05\x0a"), "truncated"),
        _malformed("4,097 subscriptions", subscription(1, "t"), "too many parts", times=4097),
        _malformed("4,097 messages", message(b"", "t"), "too many parts", times=4097),
        _malformed("10,002 ids", control(iwant([b""] * 3)), "too many message ids", times=3334),
        _malformed("10,002 ids of IDONTWANT", control(idontwant([b""] * 3)), "too many message ids", times=3334),
        _malformed("4,097 IDONTWANTs", control(idontwant([])), "too many parts", times=4097),
        _malformed("CBOR", bytes.fromhex("83016161f6"), "not a protobuf RPC"),
        _malformed("text", b"GET / HTTP/1.1\r\n\r\n", "not a protobuf RPC"),
    ]
    return good + bad


def names() -> list[Case]:
    """Topics of networks, and ids of messages."""
    networks = (bytes(32), bytes([0x11]) * 32, bytes(range(32)))
    datas = {
        "nothing": b"",
        "abc": b"abc",
        "56 bytes: two blocks of SHA-256": b"a" * 56,
        "262,144 bytes of 00": bytes(262_144),
    }
    topics: list[Case] = [
        {
            "comment": f"the topic of network {key.hex()[:4]}…",
            "input": {"network": key.hex()},
            "expect": records_topic(key),
            "reason": None,
        }
        for key in networks
    ]
    return topics + [
        {
            "comment": comment,
            "input": {"data": data.hex() if len(data) < 1000 else {"zeros": len(data)}},
            "expect": message_id(data).hex(),
            "reason": None,
        }
        for comment, data in datas.items()
    ]


# Scores.


def _at(at: int, event: str, peer: str = "a", **more: object) -> Event:
    return {"at": at, "event": event, "peer": peer, **more}


def _beat(at: int) -> Event:
    return {"at": at, "event": "heartbeat"}


def _trace(comment: str, events: list[Event], expect: dict[str, int], **changes: int) -> Case:
    """The totals are written by hand; the parts are added."""
    events = [_beat(0), _at(0, "connect"), *events]
    found = run_trace(changes, events)
    assert {peer: parts["total"] for peer, parts in found.items()} == expect, f"{comment}: {found}"
    return {"comment": comment, "input": {"params": changes, "events": events}, "expect": found, "reason": None}


P3 = {"delivery_weight": -1_000, "failure_weight": -500}


def traces() -> list[Case]:
    return [
        _trace("nothing happened", [_beat(100_000)], {"a": 0}),
        _trace("P1: 40 s in the mesh are two quanta", [_at(0, "graft"), _beat(40_000)], {"a": 100}),
        _trace("P1 counts as of the last decay", [_at(500, "graft"), _beat(15_200), _beat(15_700)], {"a": 0}),
        _trace("P1 is capped at 20 quanta", [_at(0, "graft"), _beat(900_000)], {"a": 1_000}),
        _trace("P1 ends with the membership", [_at(0, "graft"), _beat(40_000), _at(41_000, "leave")], {"a": 0}),
        _trace("P2: three first deliveries, one decay", [_at(0, "first", times=3), _beat(1_000)], {"a": 742}),
        _trace("P2 is capped at 20", [_at(0, "first", times=30), _beat(1_000)], {"a": 4_950}),
        _trace("P2 is weighed at the next decay", [_at(0, "first"), _beat(700)], {"a": 0}),
        _trace("P3 is off", [_at(0, "graft"), _beat(31_000)], {"a": 100}),
        _trace("P3: nothing in 30 s is not yet too little", [_at(0, "graft"), _beat(30_000)], {"a": 100}, **P3),
        _trace("P3: nothing in 31 s", [_at(0, "graft"), _beat(31_000)], {"a": -15_900}, **P3),
        _trace(
            "P3: one first, two near first",
            [_at(0, "graft"), _beat(30_000), _at(30_500, "first"), _at(30_500, "near-first", times=2), _beat(31_000)],
            {"a": -841},
            **P3,
        ),
        _trace(
            "P3 counts nothing outside the mesh",
            [_at(0, "near-first", times=9), _at(0, "graft"), _beat(31_000)],
            {"a": -15_900},
            **P3,
        ),
        _trace(
            "P3b: left with a deficit",
            [_at(0, "graft"), _beat(31_000), _at(31_500, "leave"), _beat(32_000)],
            {"a": -7_920},
            **P3,
        ),
        _trace("P4: one invalid message", [_at(0, "invalid")], {"a": -2_000}),
        _trace("P4: three, ten seconds ago", [_at(0, "invalid", times=3), _beat(10_000)], {"a": -14_676}),
        _trace(
            "P4: each topic for itself",
            [_at(0, "invalid", times=2), _at(0, "invalid", topic="u", times=2)],
            {"a": -16_000},
        ),
        _trace("P4 ends in time", [_at(0, "invalid"), _beat(460_000)], {"a": 0}),
        _trace("P5: the application's own", [_at(0, "appraise", score=-1_234), _beat(50_000)], {"a": -1_234}),
        _trace(
            "P6: twelve of one address",
            [_at(0, "connect", f"s{number}", ip="192.0.2.9") for number in range(12)],
            {"a": 0, **{f"s{number}": -4_000 for number in range(12)}},
        ),
        _trace(
            "P6: an IPv6 /64 is one address, and loopback is none",
            [
                *[_at(0, "connect", f"s{number}", ip=f"2001:db8::{number:x}") for number in range(11)],
                *[_at(0, "connect", f"t{number}", ip="127.0.0.1") for number in range(11)],
            ],
            {"a": 0, **{f"s{number}": -1_000 for number in range(11)}, **{f"t{number}": 0 for number in range(11)}},
        ),
        _trace("P7: six are borne", [_at(0, "misbehave", times=6)], {"a": 0}),
        _trace("P7: nine, and two seconds", [_at(0, "misbehave", times=9), _beat(2_000)], {"a": -5_262}),
        _trace(
            "the cap holds down what is good in all topics",
            [_at(0, "first", topic=topic, times=20) for topic in "tuv"] + [_at(0, "appraise", score=500)],
            {"a": 6_500},
        ),
        _trace("a decay interval that is not over changes nothing", [_at(0, "invalid"), _beat(999)], {"a": -2_000}),
        _trace(
            "what is bad stays over a disconnection, undiminished",
            [
                _at(0, "invalid", times=2),
                _at(0, "first", times=9),
                _at(500, "disconnect"),
                _beat(200_000),
                _at(200_000, "connect"),
            ],
            {"a": -8_000},
        ),
        _trace(
            "and is forgotten after five minutes",
            [_at(0, "invalid", times=2), _at(500, "disconnect"), _beat(301_000), _at(301_000, "connect")],
            {"a": 0},
        ),
        _trace(
            "a message rejected after its sender left",
            [_at(0, "disconnect"), _at(100, "invalid"), _at(200, "connect")],
            {"a": -2_000},
        ),
    ]


def thresholds() -> list[Case]:
    """The effects of a neighbour's score."""
    names_ = ("mesh", "gossip", "publish", "heard", "connected")
    rows = {
        0: 5,
        -1: 4,
        -10_000: 4,
        -10_001: 3,
        -30_000: 3,
        -30_001: 2,
        -60_000: 2,
        -60_001: 1,
        -100_000: 1,
        -100_001: 0,
    }
    found: list[Case] = []
    for score, left in rows.items():
        expect = {name: place >= len(names_) - left for place, name in enumerate(names_)}
        found.append(
            {"comment": f"a score of {score / 1000:.3f}", "input": {"score": score}, "expect": expect, "reason": None}
        )
    return found


def cases() -> dict[Path, list[Case]]:
    return {
        Path("gossip-frame"): frames(),
        Path("gossip/names.json"): names(),
        Path("gossip/scores.json"): traces(),
        Path("gossip/thresholds.json"): thresholds(),
    }
