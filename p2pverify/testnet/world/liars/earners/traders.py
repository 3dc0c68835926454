"""Peers that want money for nothing: keys of one owner that trade with each other."""

from collections.abc import Iterable

from p2pverify.core.encoding import sign
from p2pverify.core.events import Effect
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.settle.cheque import Cheque
from p2pverify.core.settle.cheques import ChequeStatement
from p2pverify.testnet.world.liars.base import BentActor
from p2pverify.testnet.world.peer.actor import ActorArgs, WorldEffect

#: What each cheque adds (millionths).
PRICE = 5_000_000
_UNTIL = 1 << 20


class WashTrader(BentActor):
    """The first key of its gang presents cheques of the last one: in a share `rate_ppm` of the epochs a greater one."""

    def __init__(self, args: ActorArgs) -> None:
        super().__init__(args)
        self._traded = -1

    def act(self, now_ms: int) -> Iterable[Effect | WorldEffect]:
        gang, epoch = self.args.gang, self.epoch(now_ms)
        if (
            self.args.network.tariff is None
            or self.key != gang.keys[0]
            or epoch <= max(0, self._traded)
            or not self.is_awake(now_ms)
        ):
            return
        self._traded = epoch
        if not self.chance(epoch.to_bytes(8, "big"), ppm=self.args.rate_ppm):
            return
        seed, network = gang.seeds[-1], self.args.network.id
        debtor = sign.public_key(seed)
        said = ChequeStatement(network, debtor, self.key, _UNTIL, PRICE * epoch, epoch)
        cheque = Cheque(debtor, _UNTIL, PRICE * epoch, epoch, said.sign(seed))
        yield from self.context.write(Kind.CHEQUE, cheque.encode(), now_ms)
