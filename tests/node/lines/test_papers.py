"""Papers are signed one after another, and nobody can change them on the way."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from p2pverify.core.contract.history.lines import PUBLISHERS_MAX, Publishers
from p2pverify.core.encoding import sign
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.payloads.lines.recall import Reason, Recall
from p2pverify.core.records.payloads.lines.release import SignedRelease, decode_signed_release
from p2pverify.core.records.payloads.lines.rotation import Rotation
from p2pverify.node.files.textfile import FileError
from p2pverify.node.lines import papers
from p2pverify.node.lines.papers import Said, decode_paper, dump_paper, new_paper
from tests.support.releases import RELEASE

NETWORK = bytes([3]) * 32
SEEDS = [bytes([n]) * 32 for n in range(1, PUBLISHERS_MAX + 2)]
KEYS = tuple(sorted(map(sign.public_key, SEEDS[:2])))
SAID: list[Said] = [
    SignedRelease(RELEASE, ()),
    Recall(0, 2, Reason.DEFECTIVE, 1),
    Rotation(1, 1, Publishers(KEYS, 2), ()),
]


@pytest.mark.parametrize("said", SAID, ids=["release", "recall", "rotation"])
def test_publishers_sign_one_after_another(said: Said) -> None:
    """The order does not matter, and each signs the same bytes. Signing twice changes nothing."""
    one = new_paper(NETWORK, said, SEEDS[0])
    read = decode_paper(dump_paper(one))
    assert read == one
    both = read.signed_with(SEEDS[1])
    assert both.signers == KEYS
    assert both == new_paper(NETWORK, said, SEEDS[1]).signed_with(SEEDS[0]) == both.signed_with(SEEDS[0])
    assert both.statement == one.statement
    assert decode_paper(dump_paper(both)).holds


def test_the_payload_is_that_of_the_record() -> None:
    paper = new_paper(NETWORK, SAID[0], SEEDS[0])
    signed = decode_signed_release(paper.payload)
    ((key, signature),) = signed.signatures
    assert sign.verify(key, signed.release.statement(NETWORK), signature)


def test_a_changed_paper_is_refused() -> None:
    """Another network, another content, no signature, and text that is no paper."""
    paper = new_paper(NETWORK, SAID[1], SEEDS[0])
    other = Recall(0, 3, Reason.DEFECTIVE, 1, paper.said.signatures)
    for changed in (
        replace(paper, network=bytes(32)),
        replace(paper, said=other),
        replace(paper, said=replace(other, signatures=())),
    ):
        with pytest.raises(DecodeError):
            decode_paper(dump_paper(changed))
    document = json.loads(dump_paper(paper))
    for name, value in (("network", "00"), ("payload", "zz"), ("kind", "join"), ("kind", "release"), ("schema", "x")):
        with pytest.raises(DecodeError):
            decode_paper(json.dumps({**document, name: value}).encode())


def test_more_than_a_line_can_have_do_not_sign() -> None:
    paper = new_paper(NETWORK, SAID[1], SEEDS[0])
    for seed in SEEDS[1:PUBLISHERS_MAX]:
        paper = paper.signed_with(seed)
    with pytest.raises(ValueError, match="8 signatures"):
        paper.signed_with(SEEDS[PUBLISHERS_MAX])


def test_a_key_is_for_its_owner(tmp_path: Path) -> None:
    """A key file is new, only its owner reads it, and it holds nothing else."""
    path = tmp_path / "key"
    papers.write_key(path, SEEDS[0].hex().encode() + b"\n")
    assert (papers.load_seed(path), path.stat().st_mode & 0o777) == (SEEDS[0], 0o600)
    with pytest.raises(FileError, match="exists already"):
        papers.write_key(path, b"")
    path.chmod(0o644)
    with pytest.raises(FileError, match="other users"):
        papers.load_seed(path)
    path.chmod(0o600)
    path.write_bytes(b"no key")
    with pytest.raises(FileError, match="no key of a publisher"):
        papers.load_seed(path)
