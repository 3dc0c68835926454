"""Canaries: valid evidence gives its verdict, and nothing else counts as evidence."""

from dataclasses import replace
from typing import Any

import pytest

from p2pverify.core.contract.output import Output
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import decode, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.inference.canary import (
    CANNOT_TELL,
    MATCH,
    MISMATCH,
    CanaryEvidence,
    Trigger,
    decode_canary_evidence,
    decode_secrets,
    encode_secrets,
    find_canary,
    judge_evidence,
    make_evidence,
    opened_paths,
)
from p2pverify.core.inference.question import RequestRefused, encode_refusal
from tests.support.canaries import ASKER, ENGINE, FIRST, RESPONDER, SECOND, TRIGGER, Exchange
from tests.support.canaries import canary_manifest as with_canary
from tests.support.canaries import canary_network as over
from tests.support.networks import MANIFEST, make_network, seeds

MANIFESTS = (with_canary(MANIFEST),)
NETWORK = over(MANIFESTS[0], make_network(seeds(3), classes=2))
RIGHT = Exchange(NETWORK, MANIFESTS[0])


def shows(exchange: Exchange) -> tuple[str, str]:
    """The verdict and its reason, also from the bytes of the evidence."""
    evidence = exchange.evidence()
    finding = judge_evidence(NETWORK, MANIFESTS, evidence)
    assert judge_evidence(NETWORK, MANIFESTS, decode_canary_evidence(evidence.encode())) == finding
    assert (finding.requester, finding.responder) == (sign.public_key(ASKER), sign.public_key(RESPONDER))
    assert finding.class_name == NETWORK.classes[exchange.class_index].name
    return finding.verdict, finding.reason


def test_a_right_answer_matches_to_the_bit() -> None:
    """Tokens, end and logits are compared with the manifest's commitment for the responder's class."""
    assert shows(RIGHT) == (MATCH, "tokens and logits are equal")
    second = replace(RIGHT, tokens=(17, 4093, 5), finish="length", class_index=1, reply=1)
    assert shows(second) == (MATCH, "the tokens are equal; the logits are not committed to")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tokens": (17, 9, 2)}, "the answers differ from token 2 on"),
        ({"tokens": (17, 4093)}, "the answers differ from token 3 on"),
        ({"tokens": (17, 4093, 2, 2)}, "the answers differ from token 4 on"),
        ({"tokens": ()}, "the answers differ from token 1 on"),
        ({"finish": "length"}, "the tokens are equal, and the reason of the end is not"),
        ({"logits": bytes(32)}, "the tokens are equal, and the logits are not: other weights or another numeric path"),
    ],
)
def test_any_other_answer_of_the_class_is_a_mismatch(changes: dict[str, Any], reason: str) -> None:
    """This includes an answer that is too short, and one with equal tokens but other logits."""
    assert shows(replace(RIGHT, **changes)) == (MISMATCH, reason)


def test_another_class_cannot_be_told() -> None:
    """Greedy answers differ between honest paths, so there is no verdict without the right answer for the class."""
    told = {index: shows(replace(RIGHT, class_index=index, reply=None)) for index in range(4)}
    assert {verdict for verdict, _ in told.values()} == {CANNOT_TELL}
    assert told[0] == told[1] == (CANNOT_TELL, "the right answer for this class is not opened")
    assert told[2] == told[3] == (CANNOT_TELL, "the manifest commits to no answer for this class")


@pytest.mark.parametrize(
    ("evidence", "reason"),
    [
        (replace(RIGHT, reply=1).evidence(), "the opened answer is not the one that the manifest commits to"),
        (replace(RIGHT.evidence(), salt=bytes(32)), "the manifest commits to no such trigger"),
        (
            replace(RIGHT, trigger=replace(TRIGGER, prompt=(1, 2))).evidence(),
            "the manifest commits to no such trigger",
        ),
        (
            replace(RIGHT, trigger=replace(TRIGGER, tokens_max=3)).evidence(),
            "the manifest commits to no such trigger",
        ),
        (replace(RIGHT, temperature_milli=800).evidence(), "the trigger was not asked greedily"),
        (replace(RIGHT, class_index=4).evidence(), "the receipt names a class that the network does not have"),
        (replace(RIGHT, manifest=MANIFEST).evidence(), "the question is for a model that the network does not have"),
        (
            replace(RIGHT, network=replace(NETWORK, name="another")).evidence(),
            "the request is of another network",
        ),
        (replace(RIGHT.evidence(), request=b""), "request: truncated"),
        (
            replace(RIGHT.evidence(), response=encode_refusal(RequestRefused("busy", "later"))),
            "the response is a refusal, which nobody signs",
        ),
        (
            replace(RIGHT.evidence(), response=replace(RIGHT, temperature_milli=1).response),
            "the receipt is for another answer",
        ),
    ],
)
def test_what_proves_nothing_is_refused(evidence: CanaryEvidence, reason: str) -> None:
    """The network, the trigger, the request and the receipt must all be right."""
    with pytest.raises(DecodeError) as refused:
        judge_evidence(NETWORK, MANIFESTS, evidence)
    assert refused.value.reason == reason


def test_every_byte_of_the_exchange_is_bound() -> None:
    """Changing one bit of request, response, salt or opened answer makes the evidence invalid."""
    whole = RIGHT.evidence()
    said = (MATCH, "tokens and logits are equal")
    for at in range(0, len(whole.encode()), 7):
        changed = bytearray(whole.encode())
        changed[at] ^= 1
        with pytest.raises(DecodeError):
            judge_evidence(NETWORK, MANIFESTS, decode_canary_evidence(bytes(changed)))
    assert shows(RIGHT) == said


def test_evidence_is_made_of_what_came_back() -> None:
    """It opens only the answer of the responder's class, and no answer if the trigger has none for that class."""
    answer = replace(RIGHT, class_index=1)
    made = make_evidence(NETWORK, TRIGGER, answer.request_bytes, answer.response)
    assert made.reply == TRIGGER.replies[1]
    answer = replace(RIGHT, class_index=2)
    assert make_evidence(NETWORK, TRIGGER, answer.request_bytes, answer.response).reply is None
    with pytest.raises(RequestRefused, match="busy"):
        make_evidence(NETWORK, TRIGGER, RIGHT.request_bytes, encode_refusal(RequestRefused("busy", "later")))


def test_an_opening_is_held_against_its_commitment() -> None:
    """A bought trigger can be checked before it is used: whether it is one, and which answers it opens."""
    found = find_canary(MANIFESTS, TRIGGER)
    assert found is not None
    assert opened_paths(found[1], TRIGGER) == ((ENGINE, FIRST), (ENGINE, SECOND))
    assert opened_paths(found[1], replace(TRIGGER, replies=TRIGGER.replies[1:])) == ((ENGINE, SECOND),)
    assert find_canary(MANIFESTS, replace(TRIGGER, salt=bytes(32))) is None
    false = replace(TRIGGER.replies[0], output=Output((1, 2, 3), "stop"))
    with pytest.raises(DecodeError, match="is not the one that the manifest commits to"):
        opened_paths(found[1], replace(TRIGGER, replies=(false,)))


def test_commitments_hide_and_bind() -> None:
    """Equal prompts and answers with other salts have other hashes, and every item changes the hash."""
    reply, prompt = TRIGGER.replies[0], TRIGGER.commitment
    changes: tuple[dict[str, Any], ...] = ({"tokens": (1,)}, {"finish": "length"}, {"logits": bytes(32)})
    others: list[dict[str, Any]] = [{}, {"salt": bytes(32)}, {"engine": "x"}, {"numeric_path": "x"}]
    others += [{"output": replace(reply.output, **change)} for change in changes]
    answers = {replace(reply, **change).commitment(prompt) for change in others}
    assert len(answers | {reply.commitment(bytes(32))}) == 8
    prompts = (TRIGGER, *(replace(TRIGGER, **c) for c in ({"salt": bytes(32)}, {"prompt": (1,)}, {"tokens_max": 9})))
    assert len({trigger.commitment for trigger in prompts}) == 4


def test_secrets_are_read_strictly() -> None:
    """Secrets are read back unchanged, marks included. Malformed secrets are refused with a reason."""
    kept = (replace(TRIGGER, is_spent=True), Trigger(bytes(32), (1,), 1, ()))
    assert decode_secrets(encode_secrets(kept)) == kept
    wrong = {
        "a trigger stands there twice": [TRIGGER, replace(TRIGGER, is_spent=True)],
        "a trigger asks for nothing": [replace(TRIGGER, prompt=())],
        "a trigger's replies are not sorted and distinct": [replace(TRIGGER, replies=TRIGGER.replies[::-1])],
        "unknown finish": [replace(TRIGGER, replies=(replace(TRIGGER.replies[0], output=Output((1,), "eos")),))],
        "trigger's prompt: more than 256 items": [replace(TRIGGER, prompt=(1,) * 257)],
    }
    for reason, triggers in wrong.items():
        with pytest.raises(DecodeError) as refused:
            decode_secrets(encode_secrets(triggers))
        assert refused.value.reason == reason
    with pytest.raises(DecodeError, match="not secrets"):
        decode_secrets(encode(["p2pverify/canary-secrets/2", []]))
    value = decode(RIGHT.evidence().encode(), size_max=65_536)
    assert isinstance(value, list)
    with pytest.raises(DecodeError, match="not evidence of a canary"):
        decode_canary_evidence(encode(["p2pverify/evidence/1", *value[1:]]))
