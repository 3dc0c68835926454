"""Cases of boxes: what a reporter answers a seat of the dispute about its private report."""

from dataclasses import replace
from pathlib import Path

from vectorgen.case import Case
from vectorgen.examples import ALICE, CAROL, DAVE, NETWORK_ID, PANEL_SLOT, question_of, salt
from vectorgen.reported import REPORT

from p2pverify.core.encoding import box
from p2pverify.core.encoding.canon import encode
from p2pverify.core.roles.disputes.boxes import BoxedQuestion, encode_box, open_box
from p2pverify.core.roles.disputes.evidence import NO_EVIDENCE

BOXED = BoxedQuestion(replace(question_of(PANEL_SLOT), requester=ALICE.key), REPORT.expiry_epoch, salt(255, CAROL.key))
SECRET = box.derive_secret(DAVE.seed)
EPHEMERAL = bytes(range(32))
OTHER = "the reporter's box has another question than the reported one"
MALFORMED = "the reporter's box is malformed: "


def _sealed(content: bytes, secret: bytes = SECRET) -> bytes:
    return encode_box(box.seal(content, box.public_key(secret), EPHEMERAL))


BOX = _sealed(BOXED.encode())


def _case(comment: str, answer: bytes, reason: str | None = None) -> Case:
    found = open_box(answer, SECRET, REPORT.hidden.audit, NETWORK_ID)
    assert found == (BOXED if reason is None else reason), f"{comment}: {found}"
    inputs = {
        "network": NETWORK_ID.hex(),
        "reporter": ALICE.key.hex(),
        "report": REPORT.hidden.encode().hex(),
        "secret": SECRET.hex(),
        "answer": answer.hex(),
    }
    shown = None if reason is not None else BOXED.question.id.hex()
    return {
        "comment": comment,
        "input": inputs,
        "expect": "accept" if reason is None else "reject",
        "reason": reason,
        "question_id": shown,
    }


def boxes() -> list[Case]:
    content = BOXED.encode()
    sealed = box.seal(content, box.public_key(SECRET), EPHEMERAL)
    assert sealed is not None
    flipped = sealed[:60] + bytes([sealed[60] ^ 1]) + sealed[61:]
    another = replace(BOXED, question=replace(BOXED.question, tokens_max=9))
    domain = encode(["p2pverify/boxed-question/2", BOXED.question.to_value(), BOXED.expiry_epoch, BOXED.salt])
    other_ephemeral = encode_box(box.seal(content, box.public_key(SECRET), bytes(range(1, 33))))
    return [
        _case("the question of Alice's private report, for Dave", BOX),
        _case("the same under another ephemeral key", other_ephemeral),
        _case("nothing to show", NO_EVIDENCE, "the reporter does not show the question"),
        _case("for another seat", _sealed(content, box.derive_secret(CAROL.seed)), "the reporter's box does not open"),
        _case("one bit flipped", encode_box(flipped), "the reporter's box does not open"),
        _case("47 bytes", encode_box(sealed[:47]), "the reporter's box does not open"),
        _case("a box that is text", encode(["box"]), f"{MALFORMED}box: not a byte string"),
        _case("two boxes", encode([sealed, sealed]), f"{MALFORMED}box: more than 1 items"),
        _case("24,577 bytes", bytes(24_577), f"{MALFORMED}too long"),
        _case("an open question", encode(BOXED.question.to_value()), f"{MALFORMED}box: more than 1 items"),
        _case("an empty array", _sealed(encode([])), f"{MALFORMED}boxed question: not 4 items"),
        _case("another domain", _sealed(domain), f"{MALFORMED}not a boxed question"),
        _case("another question", _sealed(another.encode()), OTHER),
        _case("another salt", _sealed(replace(BOXED, salt=bytes(32)).encode()), OTHER),
        _case("another expiry", _sealed(replace(BOXED, expiry_epoch=BOXED.expiry_epoch + 1).encode()), OTHER),
    ]


def cases() -> dict[Path, list[Case]]:
    return {Path("box"): boxes()}
