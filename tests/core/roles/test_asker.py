"""The times at which the peers of a slot are asked."""

from p2pverify.core.events import Send
from p2pverify.core.inference.question import decode_request
from p2pverify.core.roles.asker import SPREAD_PERMILLE
from tests.support.world import Peer, World


class Listening(World):
    """Notes the time and the target of each question."""

    def __init__(self, count: int, **changes: int) -> None:
        self.sent: dict[tuple[int, bytes], list[tuple[int, bytes]]] = {}
        super().__init__(count, **changes)

    def _send(self, peer: Peer, effect: Send) -> None:
        request, _ = decode_request(effect.data)
        self.sent.setdefault((peer.name, request.question), []).append((self.now, effect.peer))
        super()._send(peer, effect)


def test_a_panel_is_not_asked_at_one_instant() -> None:
    """All its peers are asked, each at its own time within a quarter of an epoch."""
    world = Listening(6, slots_milli=2000, panel_size=3)
    world.run_epochs(8)
    reach = world.network.params.epoch_ms * SPREAD_PERMILLE // 1000
    panels = [asked for asked in world.sent.values() if len(asked) > 1 and asked[0][0] < world.now - 2 * reach]
    assert len(panels) > 12
    widths = []
    for asked in panels:
        times = sorted(at_ms for at_ms, _ in asked)
        assert len({peer for _, peer in asked}) == len(asked) == 3
        assert times[-1] - times[0] <= reach + 100
        widths.append(times[-1] - times[0])
    assert sum(width > reach // 10 for width in widths) > 0.7 * len(widths)
    totals = world.peers[0].machine.fold.latest.totals
    assert totals["audits"] > len(world.sent) // 2


def test_times_are_found_again_by_nobody_else() -> None:
    """The order of asking is not the order of the draw, and it differs from slot to slot."""
    world = Listening(6, slots_milli=2000, panel_size=3)
    world.run_epochs(8)
    orders = {tuple(peer for _, peer in sorted(asked)) for asked in world.sent.values() if len(asked) == 3}
    sets = {frozenset(order) for order in orders}
    assert len(orders) > len(sets)
