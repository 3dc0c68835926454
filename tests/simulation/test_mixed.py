"""Networks of a hundred peers, a quarter of them hostile, with loss, crashes and a partition: all invariants hold.

A run that breaks an invariant is reported with the command that plays it again. More seeds, a slice of them at a time:
`python -m tests.simulation.play mixed 11-999`.
"""

from tests.simulation.conftest import SEEDS
from tests.simulation.support import Run

#: Kinds that a proof convicts, usually within a few epochs.
PROVEN = {"equivocator", "hostile-proposer", "double-signer"}
#: Kinds that lose disputes. In these few epochs, only kinds that always lie are asked often enough in most runs.
BY_DISPUTE = {"always-wrong", "wrong", "sleeper", "colluders", "proxy", "slanderer"}
#: Kinds that copy answers without a check, and so lose together with the liar that they copy.
COPIERS = {"lazy-voter", "lazy-challenger"}


def test_all_promises_hold_in_mixed_networks(mixed_networks: list[Run]) -> None:
    """The invariants find no fault, no peer is convicted wrongly, and cheaters are found."""
    found = [result for run in mixed_networks for result in run.results()]
    results = sorted(found, key=lambda result: result["seed"])
    assert tuple(result["seed"] for result in results) == SEEDS
    broken = [f"{result['broken']}; replay with: {result['command']}" for result in results if result["broken"]]
    assert not broken, "\n".join(broken)
    for result in results:
        assert set(result["convicted"]) <= PROVEN | BY_DISPUTE | COPIERS, result["command"]
    often = {kind: sum(kind in result["convicted"] for result in results) for kind in sorted(PROVEN | BY_DISPUTE)}
    assert all(10 * often[kind] >= 9 * len(results) for kind in PROVEN), often
    assert all(2 * often[kind] > len(results) for kind in ("always-wrong", "sleeper")), often
    assert all(often.values()), often
