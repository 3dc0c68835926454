"""The root of a state. It is computed again only where the state differs from the one before."""

from typing import Any

from p2pverify.core.encoding import merkle
from p2pverify.core.encoding.canon import encode
from p2pverify.core.state.codec.forms import sort_key
from p2pverify.core.state.codec.rows import NO_BYTES, member_leaf, row_bytes
from p2pverify.core.state.codec.sections import HEADER, MembersSection, StateSection, all_sections, header_leaf
from p2pverify.core.state.state import HashedLeaf, HashedSection, State


def state_root(network_id: bytes, state: State) -> bytes:
    """The root of a computed state whose records are of a network: 32 bytes."""
    before = state.hashed
    digests = [_digest(HEADER, [merkle.leaf(header_leaf(network_id, state))])]
    found: dict[str, HashedSection] = {}
    for section in all_sections(network_id, state):
        found[section.field] = one = _hash(section, state, before.get(section.field))
        digests.append(one.digest)
    state.hashed = found
    return merkle.grouped_root(digests)


def _digest(name: str, hashes: list[bytes]) -> bytes:
    return merkle.leaf(encode((name, len(hashes), merkle.grouped_root(hashes))))


def _hash(section: StateSection, state: State, known: HashedSection | None) -> HashedSection:
    """The hashes of the leaves of a section. Those of values that did not change are taken over."""
    entries = section.entries(state)
    leaves = {} if known is None else known.leaves
    has_same_keys = known is not None and entries.keys() == leaves.keys()
    if has_same_keys:
        changed = [key for key, one in leaves.items() if one[0] is not entries[key]]
    else:
        changed = [key for key, value in entries.items() if key not in leaves or leaves[key][0] is not value]
    if section.is_made_anew:
        changed = [key for key in changed if key not in leaves or leaves[key][0] != entries[key]]
    if known is not None and has_same_keys and not changed:
        return known
    new = {key: _leaf(section, key, entries[key], leaves.get(key)) for key in changed}
    found = {**leaves, **new}
    if not has_same_keys:
        # Most keys are in order already, which makes the sort a short one.
        found = {key: found[key] for key in sorted(filter(entries.__contains__, found), key=sort_key(section.order))}
    return HashedSection(found, _digest(section.name, [one[1] for one in found.values()]))


def _leaf(section: StateSection, key: Any, value: Any, old: HashedLeaf | None) -> HashedLeaf:
    if not isinstance(section, MembersSection):
        return value, merkle.leaf(section.leaf(key, value)), None
    known = row_bytes(value, NO_BYTES if old is None else old[2])
    return value, merkle.leaf(member_leaf(key, value, known)), known
