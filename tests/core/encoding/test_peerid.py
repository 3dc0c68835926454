"""Peer ids have the same text as in libp2p, and only such texts are read."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.encoding.peerid import key_of, peer_id
from p2pverify.core.errors import DecodeError


@given(st.binary(min_size=32, max_size=32))
@settings(deadline=None, max_examples=50)
def test_round_trip(key: bytes) -> None:
    """A key's peer id has the prefix of Ed25519 keys and gives the key back."""
    text = peer_id(key)
    assert text.startswith("12D3KooW")
    assert len(text) == 52
    assert key_of(text) == key


def test_published_peer_id() -> None:
    """The key of the Ed25519 test vector in libp2p's peer-ids specification has the id given there."""
    key = bytes.fromhex("1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e")
    assert peer_id(key) == "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq"


@given(st.text(max_size=70))
@settings(deadline=None, max_examples=100)
def test_any_text(text: str) -> None:
    """A text is refused or is the peer id of its key."""
    try:
        key = key_of(text)
    except DecodeError:
        pass
    else:
        assert peer_id(key) == text


@given(st.binary(min_size=32, max_size=32), st.integers(0, 51), st.characters(codec="ascii"))
@settings(deadline=None, max_examples=100)
def test_changed_letters(key: bytes, at: int, letter: str) -> None:
    """A peer id with one letter changed is another key's id, or refused."""
    text = peer_id(key)
    changed = text[:at] + letter + text[at + 1 :]
    try:
        found = key_of(changed)
    except DecodeError:
        assert changed != text
    else:
        assert (found == key) == (changed == text)
        assert peer_id(found) == changed


@pytest.mark.parametrize("text", ["", "1", "1" * 64, "1" * 65, "Qm" + "1" * 44, "z" * 64])
def test_not_peer_ids(text: str) -> None:
    """Texts of other lengths, kinds and bases are refused."""
    with pytest.raises(DecodeError):
        key_of(text)


def test_distinct_keys_have_distinct_ids() -> None:
    """A hundred keys have a hundred ids."""
    keys = [hashlib.sha256(bytes([number])).digest() for number in range(100)]
    assert len({peer_id(key) for key in keys}) == 100
