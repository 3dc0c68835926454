"""The root of a state. It is computed again only where the state differs from the one before."""

from collections.abc import Mapping

from p2pverify.core.encoding import merkle
from p2pverify.core.encoding.canon import encode
from p2pverify.core.state.codec.sections import HEADER, StateSection, all_sections, header_leaf
from p2pverify.core.state.state import HashedSection, State


def state_root(network_id: bytes, state: State) -> bytes:
    """The root of a computed state whose records are of a network: 32 bytes."""
    before = state.hashed
    roots = [_line(HEADER, 1, merkle.root([header_leaf(network_id, state)]))]
    found: dict[str, HashedSection] = {}
    for section in all_sections(network_id, state):
        found[section.name] = one = _hash(section, state, before)
        roots.append(_line(section.name, len(one.leaves), one.root))
    state.hashed = found
    return merkle.root(roots)


def _line(name: str, count: int, root: bytes) -> bytes:
    return encode([name, count, root])


def _hash(section: StateSection, state: State, before: Mapping[str, HashedSection]) -> HashedSection:
    """The hashes of the leaves of a section. Those of values that did not change are taken over."""
    entries, known = section.entries(state), before.get(section.name)
    leaves = {} if known is None else known.leaves
    is_same = section.is_same
    if entries.keys() == leaves.keys():
        if all(is_same(leaves[key][0], value) for key, value in entries.items()) and known is not None:
            return known
        keys = list(leaves)
    else:
        keys = sorted(entries, key=section.order)
    found = {}
    for key in keys:
        value, old = entries[key], leaves.get(key)
        if old is None or not is_same(old[0], value):
            old = value, merkle.leaf(section.leaf(key, value))
        found[key] = old
    return HashedSection(found, merkle.root_of([one for _, one in found.values()]))
