"""Cases of receipts as files: what holds, what is no receipt, and what its signed bytes refute."""

import json
import re
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from vectorgen import passports
from vectorgen.case import Case, changed
from vectorgen.examples import ALICE, BOB, CAROL, LOGITS, NETWORK, NETWORK_ID, RIGHT, Peer
from vectorgen.examples import receipt as signed_receipt
from vectorgen.streams import ANSWER, DATA, QUESTION, REQUEST, signed

from p2pverify.core.contract.network import Network
from p2pverify.core.contract.output import Output
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import decode, encode
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.inference.question import (
    Answer,
    Question,
    Request,
    RequestRefused,
    decode_request,
    decode_response,
    encode_answer,
    encode_refusal,
)
from p2pverify.core.proofs.passport import PassportFacts, Refuted, check_passport
from p2pverify.node.clients.checking import check_receipt_document, parse_receipt_file
from p2pverify.node.reports.documents.jsonform import DocumentError, written
from p2pverify.node.reports.documents.receipt import (
    AskedQuestion,
    ClientAnswer,
    FullCheckDocument,
    ReceiptDocument,
    ReceiptEvent,
)
from tests.support.proofs import shown_answer

IDENTITY = b"\x01" + bytes(31)  # the point of order 1, under which any message is signed by (identity, 0)


def _response(request: Request, peer: Peer = BOB, tokens: tuple[int, ...] = RIGHT, **fields: Any) -> bytes:
    finish = fields.get("finish", "stop")
    return encode_answer(Answer(Output(tokens, finish, LOGITS), signed_receipt(peer, request, tokens, **fields)))


def _answer(index: int = 0, request: bytes = DATA, response: bytes = ANSWER, *, has_passport: bool = True) -> Any:
    """One answer as a receipt shows it, in JSON values."""
    asked, question = decode_request(request)
    output, receipt = (answer := decode_response(response, asked)).output, answer.receipt
    passport = passports.example(asked.responder)
    row = check_passport(NETWORK, passport).row
    answered = ClientAnswer(
        index=index,
        peer_id=peer_id(asked.responder),
        own=asked.responder == asked.requester,
        standing="newcomer",
        low=row.low_ppm / 1_000_000,
        high=row.high_ppm / 1_000_000,
        audits=0,
        class_=NETWORK.classes[receipt.class_index].name,
        cut=_facts(passport).cut_id.hex(),
        cut_epoch=_facts(passport).epoch,
        question=AskedQuestion(
            id=question.id.hex(),
            manifest=question.manifest.hex(),
            prompt=question.prompt,
            tokens_max=question.tokens_max,
            temperature_milli=question.temperature_milli,
            seed=question.seed.hex(),
            requester=peer_id(question.requester),
        ),
        tokens=output.tokens,
        finish="stop" if output.finish == "stop" else "length",
        logits=output.logits.hex(),
        text="efgh",
        request=request.hex(),
        response=response.hex(),
        passport=passport.encode().hex() if has_passport else None,
        receipt_token_count=receipt.token_count,
        queue_ms=receipt.queue_ms,
        first_token_ms=receipt.first_token_ms,
        total_ms=receipt.total_ms,
        elapsed_ms=190,
        checked=("signature", "commitment", "class", "standing"),
        returned=True,
        compared=None,
    )
    return written(answered)


def _facts(passport: passports.Passport) -> PassportFacts:
    return check_passport(NETWORK, passport)


def _receipt(*answers: Any, **members: object) -> Any:
    """A receipt of answers, in JSON values."""
    asked = ReceiptEvent(at_ms=1_767_225_700_000, event="asked", index=0, peer_id=peer_id(BOB.key), detail="")
    document = ReceiptDocument(
        schema="p2pverify/client-receipt/1",
        id="rcpt_00112233445566778899aabbccddeeff",
        state="answered",
        network=NETWORK_ID.hex(),
        model="example-135m",
        endpoint="chat.completions",
        created_ms=1_767_225_700_000,
        finished_ms=1_767_225_700_190,
        panel=1,
        every=1,
        checks=(),
        answers=(),
        events=(asked,),
    )
    return {**written(document), "answers": list(answers), **members}


def _case(comment: str, receipt: Any, reason: str | None = None, *, network: Network = NETWORK) -> Case:
    text = receipt if isinstance(receipt, str) else json.dumps(receipt, separators=(",", ":"))
    expect: object = "reject"
    try:
        document = parse_receipt_file(text.encode())
        expect = [shown_answer(each) for each in check_receipt_document(network, document)]
        found = None
    except Refuted as refuted:
        found = refuted.reason
    except DocumentError as error:
        found = str(error)
    assert found == reason, f"{comment}: {found}"
    inputs = {"network": network.encode().hex(), "receipt": text}
    return {"comment": comment, "input": inputs, "expect": expect, "reason": reason}


def _with(**members: object) -> Any:
    """The receipt of the page without a passport, with members of its answer replaced."""
    return _receipt({**_answer(has_passport=False), **members})


def _asking(**members: object) -> Any:
    """The same with members of the shown question replaced."""
    good = _answer(has_passport=False)
    return _receipt({**good, "question": {**good["question"], **members}})


def _good() -> list[Case]:
    to_carol = replace(REQUEST, responder=CAROL.key)
    own_question = replace(QUESTION, requester=BOB.key, temperature_milli=0)
    own = replace(REQUEST, requester=BOB.key, question=own_question.id)
    long_question = replace(QUESTION, prompt=(2**31 - 1, 65_536, 256, 24, 0), tokens_max=300)
    long = replace(REQUEST, question=long_question.id)
    told = {"text": "\N{GRINNING FACE} another text", "standing": None, "low": 0, "high": 1.0, "elapsed_ms": 0}
    return [
        _case("the example of the page", _receipt(_answer())),
        _case("no passport", _receipt(_answer(has_passport=False))),
        _case(
            "two answers of two peers",
            _receipt(_answer(), _answer(1, signed(to_carol), _response(to_carol, CAROL))),
        ),
        _case("no majority: two peers signed different answers, and the client got neither", _divided()),
        _case(
            "the node that was asked answered itself, greedily",
            _receipt(_answer(0, signed(own, own_question, BOB), _response(own))),
        ),
        _case(
            "long numbers, and an answer of 300 tokens in another class",
            _receipt(
                _answer(
                    0,
                    signed(long, long_question),
                    _response(long, tokens=tuple(range(0, 300_000, 1000)), finish="length", class_index=1),
                    has_passport=False,
                )
            ),
        ),
        _case(
            "an answer without a token", _with(**_answer(0, DATA, _response(REQUEST, tokens=()), has_passport=False))
        ),
        _case("members that nobody signed are not checked", _with(**told)),
        _case("members of a later version, blanks, and another order", _spread()),
    ]


def _divided() -> Any:
    """A full check whose two answers differ."""
    to_carol = replace(REQUEST, responder=CAROL.key)
    other = _answer(0, signed(to_carol), _response(to_carol, CAROL, tokens=RIGHT[::-1]))
    answers = [{**each, "returned": False, "compared": "differs"} for each in (_answer(), other)]
    check = FullCheckDocument(index=0, panel=2, answers=2, agree=0, differ=2, not_compared=0, majority=False)
    return _receipt(*answers, state="failed", panel=2, checks=[written(check)])


def _spread() -> str:
    later = {**_receipt({**_answer(has_passport=False), "more": [1.5, None]}), "later": {"a": True}}
    return json.dumps(dict(reversed(later.items())), indent=1) + "\n"


def _no_form() -> list[Case]:
    good = _receipt(_answer(has_passport=False))
    without = deepcopy(good)
    del without["answers"][0]["request"]
    text = json.dumps(good, separators=(",", ":"))
    bad: list[tuple[str, Any, str]] = [
        ("half a file", text[: len(text) // 2], "not JSON"),
        ("two values", text + "{}", "not JSON"),
        ("an array", [good], f"{str([good])[:40]!r} is not an object"),
        (
            "another schema",
            {**good, "schema": "p2pverify/client-receipt/2"},
            "'p2pverify/client-receipt/2' is not a known word",
        ),
        ("an answer without its request", without, "ClientAnswer without 'request'"),
        ("a response that is null", _with(response=None), "'None' is not of type str"),
        ("a passport that is a number", _with(passport=0), "'0' is not of type str"),
        ("tokens as text", _with(tokens="efgh"), "'efgh' is not an array"),
        ("a token that is true", _with(tokens=[True]), "'True' is not of type int"),
        ("a token that is a half", _with(tokens=[0.5]), "'0.5' is not of type int"),
        ("a negative index", _with(index=-1), "'-1' is not within its bounds"),
        ("a score above 1", _with(high=1.5), "'1.5' is not within its bounds"),
        ("an unknown end", _with(finish="end"), "'end' is not a known word"),
        ("an unknown standing", _with(standing="good"), "'good' is not a known word"),
        ("a failed request", {**good, "state": "failed", "answers": []}, "it holds no answer: its state is 'failed'"),
        ("an answer too early", {**good, "state": "asking"}, "it holds no answer: its state is 'asking'"),
        ("no answer", {**good, "answers": []}, "it holds no answer: its state is 'answered'"),
    ]
    return [_case(*each) for each in bad]


def _bytes_refuted() -> list[Case]:
    """Bytes of an answer that do not hold."""
    head, asked, signature = _items(DATA)
    other = replace(REQUEST, nonce=bytes(32))
    away = replace(REQUEST, network=bytes(32))
    unknown = replace(QUESTION, manifest=bytes(32))
    of_unknown = replace(REQUEST, question=unknown.id)
    no_key_question = replace(QUESTION, requester=IDENTITY)
    of_no_key = replace(REQUEST, requester=IDENTITY, question=no_key_question.id)
    status, tokens, finish, logits, fields = _items(ANSWER)
    s_above = fields[4][:32] + (int.from_bytes(fields[4][32:], "little") + sign.GROUP_ORDER).to_bytes(32, "little")
    by_requester = sign.sign(ALICE.seed, decode_response(ANSWER, REQUEST).receipt.signed_bytes())

    def asks(data: bytes) -> Any:
        return _with(request=data.hex())

    def says(*items: object) -> Any:
        return _with(response=encode(list(items)).hex())

    def receipt(at: int, item: object) -> Any:
        return says(status, tokens, finish, logits, changed(fields, at, item))

    def both(request: Request, question: Question = QUESTION, **more: Any) -> Any:
        return _with(request=signed(request, question).hex(), response=_response(request, **more).hex())

    request, response = "the request does not hold: ", "the response does not hold: "
    no_class = "the receipt is of a class that does not run the model asked for"
    unsigned, other_answer = "the receipt's signature does not hold", "the receipt is for another answer"
    bad: list[tuple[str, Any, str]] = [
        ("half a digit", _with(request=DATA.hex()[:-1]), "its bytes are not in hex"),
        ("capital digits", _with(response=ANSWER.hex().upper()), "its bytes are not in hex"),
        ("a blank between digits", _with(request=f"83 {DATA.hex()[2:]}"), "its bytes are not in hex"),
        ("an empty request", _with(request=""), f"{request}truncated"),
        ("a request of one byte more", asks(DATA + b"\x00"), f"{request}trailing bytes"),
        ("a length in two bytes", asks(b"\x98\x03" + DATA[1:]), f"{request}not in shortest form"),
        ("an indefinite length", asks(b"\x9f" + DATA[1:] + b"\xff"), f"{request}indefinite length"),
        ("a request without its signature", asks(encode([head, asked])), f"{request}request: not 3 items"),
        (
            "a request of another domain",
            asks(encode([changed(head, 0, "x"), asked, signature])),
            f"{request}not a request",
        ),
        (
            "a longer answer asked for",
            asks(encode([head, changed(asked, 3, 9), signature])),
            f"{request}the question is not the one that the request names",
        ),
        (
            "another nonce than the signed one",
            asks(encode([changed(head, 5, bytes(32)), asked, signature])),
            f"{request}the requester did not sign this request",
        ),
        (
            "a request signed by the responder",
            asks(signed(peer=BOB)),
            f"{request}the requester did not sign this request",
        ),
        (
            "a requester whose key is the identity",
            asks(encode([of_no_key.to_value(), no_key_question.to_value(), IDENTITY + bytes(32)])),
            f"{request}the requester did not sign this request",
        ),
        ("a request in another network", both(away), "it is of another network"),
        ("a refusal", _with(response=encode_refusal(RequestRefused("busy", "later")).hex()), f"{response}busy: later"),
        ("another status", says("no", tokens, finish, logits, fields), f"{response}not a response"),
        ("a response of one byte more", _with(response=(ANSWER + b"\x00").hex()), f"{response}trailing bytes"),
        ("token 2^31", says(status, [2**31], finish, logits, fields), f"{response}token: above 2147483647"),
        ("an end of another name", says(status, tokens, "end", logits, fields), f"{response}unknown finish"),
        (
            "a token less",
            says(status, tokens[1:], finish, logits, fields),
            f"{response}the receipt counts other tokens",
        ),
        ("another token", says(status, [0, *tokens[1:]], finish, logits, fields), f"{response}{other_answer}"),
        ("another end", says(status, tokens, "length", logits, fields), f"{response}{other_answer}"),
        ("other logits", says(status, tokens, finish, bytes(32), fields), f"{response}{other_answer}"),
        ("another class", receipt(0, 1), f"{response}{other_answer}"),
        ("class 32", receipt(0, 32), f"{response}class: above 31"),
        ("another count", receipt(2, 5), f"{response}the receipt counts other tokens"),
        ("other times", receipt(3, [3, 41, 188]), f"{response}{unsigned}"),
        ("a receipt signed by the requester", receipt(4, by_requester), f"{response}{unsigned}"),
        ("S above the group order", receipt(4, s_above), f"{response}{unsigned}"),
        ("a receipt to another request", _with(response=_response(other).hex()), f"{response}{other_answer}"),
        ("a class that the network does not have", both(REQUEST, class_index=3), no_class),
        ("a model that no class runs", both(of_unknown, unknown), no_class),
    ]
    return [_case(comment, receipt, _placed(reason)) for comment, receipt, reason in bad]


def _items(data: bytes) -> list[Any]:
    found: Any = decode(data, size_max=65_536)
    return found


def _passport_refuted() -> list[Case]:
    good = passports.example(BOB.key)
    wrong = replace(good, cut=replace(good.cut, heads=bytes(32)))
    bad: list[tuple[str, str, str]] = [
        ("a passport of other digits", "zz", "its bytes are not in hex"),
        ("an empty passport", "", "the passport does not hold: truncated"),
        ("a passport of one byte more", good.encode().hex() + "00", "the passport does not hold: trailing bytes"),
        (
            "the passport of the requester",
            passports.example(ALICE.key).encode().hex(),
            "the passport is of another peer",
        ),
        ("a passport whose cut has other heads", wrong.encode().hex(), "a signature does not hold"),
        (
            "a passport with one signature",
            replace(good, signatures=good.signatures[:1]).encode().hex(),
            "1 of 3 peers with weight signed: fewer than two thirds",
        ),
    ]
    return [_case(comment, _with(passport=passport), _placed(reason)) for comment, passport, reason in bad]


def _shown_refuted() -> list[Case]:
    """Members that are not those of the signed bytes."""
    zeroes = "00" * 32
    bad: list[tuple[str, Any]] = [
        ("the peer", _with(peer_id=peer_id(CAROL.key))),
        ("the class", _with(**{"class": "example-cuda"})),
        ("the prompt", _asking(prompt=[1])),
        ("the seed", _asking(seed="00" * 16)),
        ("the temperature", _asking(temperature_milli=801)),
        ("the length", _asking(tokens_max=9)),
        ("the requester", _asking(requester=peer_id(BOB.key))),
        ("the model", _asking(manifest=zeroes)),
        ("the question", _asking(id=zeroes)),
        ("the answer", _with(tokens=[*RIGHT, 105])),
        ("the end", _with(finish="length")),
        ("the digest of the logits", _with(logits=zeroes)),
        ("the number of tokens", _with(receipt_token_count=5)),
        ("the waiting time", _with(queue_ms=4)),
        ("the time of the first token", _with(first_token_ms=40)),
        ("the whole time", _with(total_ms=188)),
    ]
    return [
        _case(f"{what} is another one", receipt, _placed(f"{what} that it shows is not the one that was signed"))
        for what, receipt in bad
    ]


def _placed(reason: str) -> str:
    return f"answer 0: {reason}"


def shown() -> str:
    """The receipt of the page: the bytes end after 8 of them, and arrays without objects stand on a line."""
    receipt = _receipt(_answer())
    for name in ("request", "response", "passport"):
        receipt["answers"][0][name] = receipt["answers"][0][name][:16] + "..."
    text = json.dumps(receipt, indent=2)
    return re.sub(r"\[[^][{]*\]", lambda found: json.dumps(json.loads(found[0])), text)


def cases() -> dict[Path, list[Case]]:
    other = replace(NETWORK, name="another")
    good = _receipt(_answer(has_passport=False))
    second = _receipt(_answer(), {**_answer(1, has_passport=False), "tokens": []})
    found = [
        *_good(),
        *_no_form(),
        _case("held against another network", good, "it is of another network", network=other),
        _case("another network is shown", {**good, "network": other.id.hex()}, "it is of another network"),
        *_bytes_refuted(),
        *_passport_refuted(),
        *_shown_refuted(),
        _case("the second of two answers", second, "answer 1: the answer that it shows is not the one that was signed"),
    ]
    return {Path("client-receipt"): found}
