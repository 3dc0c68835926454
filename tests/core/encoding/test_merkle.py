"""The Merkle tree hash: published roots, and the recursive definition of RFC 6962."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.encoding import merkle

# Leaves and roots of the Certificate Transparency project's own tests.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def _by_definition(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word for word: split at the largest power of two below the length."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while 2 * split < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + _by_definition(leaves[:split]) + _by_definition(leaves[split:])).digest()


@pytest.mark.parametrize("size", range(9))
def test_published_roots(size: int) -> None:
    """The roots of the first 0 to 8 leaves are the published ones."""
    assert merkle.root(LEAVES[:size]).hex() == ROOTS[size]


@given(st.lists(st.binary(max_size=8), max_size=70))
@settings(deadline=None, max_examples=50)
def test_equals_the_definition(leaves: list[bytes]) -> None:
    """Pairing level by level gives the tree of the recursive definition for any number of leaves."""
    assert merkle.root(leaves) == _by_definition(leaves)


def test_root_of_the_example() -> None:
    """The root in protocol/encoding.md is right."""
    root = merkle.root([b"a", b"b", b"c"])
    assert root.hex() == "36642e73c2540ab121e3a6bf9545b0a24982cd830eb13d3cd19de3ce6c021ec1"


def test_order_and_length_count() -> None:
    """Another order, a repeated last leaf, and a node as a leaf give other roots."""
    a, b, c = LEAVES[1:4]
    assert merkle.root([a, b, c]) != merkle.root([b, a, c])
    assert merkle.root([a, b, c]) != merkle.root([a, b, c, c])
    node = hashlib.sha256(b"\x00" + a).digest() + hashlib.sha256(b"\x00" + b).digest()
    assert merkle.root([a, b]) != merkle.root([node])


def _path_by_definition(leaves: list[bytes], index: int) -> list[bytes]:
    """RFC 9162 section 2.1.3.1, word for word: the siblings from the leaf upwards."""
    if len(leaves) == 1:
        return []
    split = 1
    while 2 * split < len(leaves):
        split *= 2
    if index < split:
        return [*_path_by_definition(leaves[:split], index), _by_definition(leaves[split:])]
    return [*_path_by_definition(leaves[split:], index - split), _by_definition(leaves[:split])]


def _tree(size: int) -> tuple[list[bytes], list[bytes]]:
    leaves = [b"%d" % number for number in range(size)]
    return leaves, [merkle.leaf(data) for data in leaves]


@pytest.mark.parametrize("size", range(1, 41))
def test_every_leaf_has_the_path_of_the_definition(size: int) -> None:
    """It leads to the root from its own position, and from no other."""
    leaves, hashes = _tree(size)
    root = merkle.root(leaves)
    for index in range(size):
        path = merkle.inclusion_path(hashes, index)
        assert list(path) == _path_by_definition(leaves, index)
        for position in range(-1, size + 2):
            found = merkle.root_of_path(hashes[index], position, size, path)
            assert (found == root) == (position == index)


@pytest.mark.parametrize("size", range(1, 41))
def test_a_path_with_any_change_does_not_lead_to_the_root(size: int) -> None:
    """Another leaf, a longer or shorter path, another order, or a flipped bit of any sibling."""
    leaves, hashes = _tree(size)
    root = merkle.root(leaves)
    for index in range(size):
        path = merkle.inclusion_path(hashes, index)
        changed = [path[:-1], (*path, bytes(32)), path[::-1]]
        changed += [(*path[:n], bytes([each[0] ^ 1]) + each[1:], *path[n + 1 :]) for n, each in enumerate(path)]
        for other in changed:
            assert other == path or merkle.root_of_path(hashes[index], index, size, other) != root
        assert merkle.root_of_path(merkle.leaf(b"other"), index, size, path) != root
        assert merkle.root_of_path(merkle.leaf(hashes[index]), index, size, path) != root


def test_the_length_of_a_path_follows_from_the_position_and_the_number_of_leaves() -> None:
    """A number of leaves for which the path has the wrong length is refused."""
    for size in range(1, 41):
        _, hashes = _tree(size)
        for index in range(size):
            path = merkle.inclusion_path(hashes, index)
            for count in range(42):
                found = merkle.root_of_path(hashes[index], index, count, path)
                fits = index < count and len(path) == len(_path_by_definition([b""] * count, index))
                assert (found is not None) == fits


@pytest.mark.parametrize(("size", "index"), [(0, 0), (3, 3), (3, -1)])
def test_there_is_no_path_to_a_leaf_that_is_not_there(size: int, index: int) -> None:
    _, hashes = _tree(size)
    with pytest.raises(IndexError):
        merkle.inclusion_path(hashes, index)
