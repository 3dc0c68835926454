"""What the tests of hostile peers look at in a world."""

from collections import Counter

from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.state.state import Member
from p2pverify.core.state.view import view_root
from p2pverify.testnet.world import World
from tests.support.worlds import final


def honest_numbers(world: World) -> list[int]:
    """The numbers of the honest peers."""
    return [peer.number for peer in world.honest]


def ledger_of(world: World, number: int) -> Ledger:
    return world.peers[number].machine.context.ledger


def member_of(world: World, number: int) -> Member:
    """A peer in the final view of the first honest one."""
    return final(world).members[world.peers[number].key]


def convictions(world: World) -> dict[int, str]:
    """The peers that any honest peer's final view convicts, with the reasons."""
    found = {}
    for peer in world.honest:
        for key, each in peer.machine.fold.latest.members.items():
            if each.is_convicted:
                found[world.by_key[key].number if key in world.by_key else -1] = each.conviction
    return found


def views(world: World) -> set[bytes]:
    """The view roots of honest peers at the newest cut that is certified at all of them."""
    paths = [peer.machine.fold.latest.path for peer in world.honest]
    common = [cut for cut in paths[0] if all(cut in path for path in paths)]
    roots = set()
    for peer in world.honest:
        state = peer.machine.fold.state(common[-1])
        assert state is not None
        roots.add(view_root(world.network, state))
    return roots


def rejected(world: World) -> Counter[str]:
    """How many records of each fault peers have rejected."""
    found: Counter[str] = Counter()
    for peer in world.peers:
        for note, count in peer.notes.items():
            if note.startswith("rejected: "):
                found[note.removeprefix("rejected: ")] += count
    return found
