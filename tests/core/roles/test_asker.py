"""The times at which the peers of a slot are asked."""

from p2pverify.core.events import Send
from p2pverify.core.inference.question import decode_request
from p2pverify.core.roles.asker import SPREAD_PERMILLE
from p2pverify.testnet.world import World
from p2pverify.testnet.world.peer.actor import Actor
from tests.support.worlds import make_world, watching


def play() -> tuple[World, dict[tuple[bytes, bytes], list[tuple[int, bytes]]]]:
    """A world after some epochs, and the times and targets of each peer's questions."""
    sent: dict[tuple[bytes, bytes], list[tuple[int, bytes]]] = {}

    def see(actor: Actor, told: object, now_ms: int) -> None:
        if isinstance(told, Send):
            request, _ = decode_request(told.data)
            sent.setdefault((actor.key, request.question), []).append((now_ms, told.peer))

    world = make_world(6, slots_milli=2000, panel_size=3, make=watching(see))
    world.run_epochs(8)
    return world, sent


def test_a_panel_is_not_asked_at_one_instant() -> None:
    """All its peers are asked, each at its own time within a quarter of an epoch."""
    world, sent = play()
    reach = world.network.params.epoch_ms * SPREAD_PERMILLE // 1000
    panels = [asked for asked in sent.values() if len(asked) > 1 and asked[0][0] < world.now_ms - 2 * reach]
    assert len(panels) > 12
    widths = []
    for asked in panels:
        times = sorted(at_ms for at_ms, _ in asked)
        assert len({peer for _, peer in asked}) == len(asked) == 3
        assert times[-1] - times[0] <= reach + 100
        widths.append(times[-1] - times[0])
    assert sum(width > reach // 10 for width in widths) > 0.7 * len(widths)
    totals = world.peers[0].machine.fold.latest.totals
    assert totals["audits"] > len(sent) // 2


def test_times_are_found_again_by_nobody_else() -> None:
    """The order of asking is not the order of the draw, and it differs from slot to slot."""
    _, sent = play()
    orders = {tuple(peer for _, peer in sorted(asked)) for asked in sent.values() if len(asked) == 3}
    sets = {frozenset(order) for order in orders}
    assert len(orders) > len(sets)
