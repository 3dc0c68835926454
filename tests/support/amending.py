"""Networks whose rules are amended, and the words about amendments."""

from collections.abc import Iterable

from p2pverify.core.contract.network import PARAM_BOUNDS
from p2pverify.core.contract.rules.changes import Change, ParamChange
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.amendment import Amendment, Approval, Word
from p2pverify.core.state.rules.notes import rules_of
from p2pverify.core.state.state import State
from tests.support.networks import make_network, seeds
from tests.support.steps import Steps

_INDEX = {name: index for index, (name, _, _) in enumerate(PARAM_BOUNDS)}
TEXT = sha256(b"why")


def param(name: str, value: int) -> ParamChange:
    return ParamChange(_INDEX[name], value)


def amendment(
    steps: Steps | State,
    *changes: Change,
    features: int = 0,
    activation: int = 0,
    expiry: int = 0,
    network: object = None,
) -> Amendment:
    """An amendment of the rules in force. Without an `expiry` it is open for 40 epochs."""
    state = steps.latest if isinstance(steps, Steps) else steps
    definition = steps.network if isinstance(steps, Steps) else network
    root = rules_of(definition, state.rules).root  # type: ignore[arg-type]
    last = expiry or state.epoch + 40
    return Amendment(root, changes, features, min(activation or state.epoch + 1, last), last, TEXT)


class AmendedSteps(Steps):
    """A path whose founders have joined. `keys` are theirs, in order."""

    def __init__(self, founders: int = 6, *, notice: int = 4, classes: int = 1, **changes: int) -> None:
        identities = seeds(founders)
        super().__init__(make_network(identities, classes=classes, notice_epochs=notice, **changes))
        self.keys = list(self.network.founders)
        for each in self.keys:
            self.join(each)
        self.step()

    def propose_rules(self, author: int, *changes: Change, **fields: int) -> Record:
        return self.say(self.keys[author], Kind.AMENDMENT, amendment(self, *changes, **fields).encode())

    def words(self, found: Record, word: Word, who: Iterable[int]) -> None:
        for number in who:
            self.say(self.keys[number], Kind.APPROVAL, Approval(found.id, word).encode())

    def enact(self, *changes: Change, **fields: int) -> State:
        """All approve an amendment, and it takes effect."""
        found = self.propose_rules(0, *changes, **fields)
        self.step()
        self.words(found, Word.YES, range(1, len(self.keys)))
        self.words(found, Word.READY, range(len(self.keys)) if fields.get("features") else ())
        self.step()
        starts = self.latest.amendments[found.id].starts
        while self.latest.epoch < starts:
            self.step()
        return self.latest
