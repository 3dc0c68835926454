"""The root of a state. It is computed again only where the state differs from the one before."""

from collections.abc import Mapping
from typing import Any

from p2pverify.core.encoding import merkle
from p2pverify.core.encoding.canon import encode
from p2pverify.core.state.codec.rows import contact_bytes, member_leaf
from p2pverify.core.state.codec.sections import HEADER, MembersSection, StateSection, all_sections, header_leaf
from p2pverify.core.state.state import HashedLeaf, HashedSection, State


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
    if known is not None and entries.keys() == leaves.keys():
        changed = [key for key, value in entries.items() if leaves[key][0] is not value]
        if section.is_made_anew:
            changed = [key for key in changed if leaves[key][0] != entries[key]]
        if not changed:
            return known
        found = {**leaves, **{key: _leaf(section, key, entries[key], leaves[key]) for key in changed}}
    else:
        found = {}
        for key in sorted(entries, key=section.order):
            value, old = entries[key], leaves.get(key)
            is_kept = old is not None and (old[0] is value or (section.is_made_anew and old[0] == value))
            found[key] = old if old is not None and is_kept else _leaf(section, key, value, old)
    return HashedSection(found, merkle.root_of([one[1] for one in found.values()]))


def _leaf(section: StateSection, key: Any, value: Any, old: HashedLeaf | None) -> HashedLeaf:
    if not isinstance(section, MembersSection):
        return value, merkle.leaf(section.leaf(key, value)), {}
    contacts = contact_bytes(value, {} if old is None else old[2])
    return value, merkle.leaf(member_leaf(key, value, contacts)), contacts
