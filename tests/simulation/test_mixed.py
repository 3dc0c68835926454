"""Fifty networks of a hundred peers, a quarter of them hostile, with loss, crashes and a partition: all promises hold.

A run that breaks one is named with the command that plays it again.
"""

from tests.simulation.support import play_all

SEEDS = range(1, 51)
#: Kinds that are convicted in every run, by a proof; the others as far as their audits get in so few epochs.
PROVEN = {"equivocator", "hostile-proposer", "double-signer"}
BY_DISPUTE = {"always-wrong", "wrong", "sleeper", "colluders", "proxy", "slanderer"}


def test_all_promises_hold_in_fifty_mixed_networks() -> None:
    """The oracles find nothing, cuts advance, and cheaters of every kind are convicted in most runs."""
    results = play_all("mixed", list(SEEDS))
    assert [result["seed"] for result in results] == list(SEEDS)
    broken = [f"{result['broken']}; replay with: {result['command']}" for result in results if result["broken"]]
    assert not broken, "\n".join(broken)
    for result in results:
        assert set(result["convicted"]) <= PROVEN | BY_DISPUTE | {"lazy-voter", "lazy-challenger"}, result["command"]
    for kind in sorted(PROVEN | {"always-wrong"}):
        often = sum(kind in result["convicted"] for result in results)
        assert 2 * often > len(results), f"{kind} was convicted in {often} of {len(results)} runs"
