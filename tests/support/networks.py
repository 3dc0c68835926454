"""Networks that exist only on paper: identities, rules and a definition."""

import hashlib
from typing import Any

from p2pverify.core.contract.classes import DeterminismClass
from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.network import NOTICE_EPOCHS, PARAM_BOUNDS, Network, Params
from p2pverify.core.encoding import sign
from p2pverify.testnet.world.peer.engine import ACROSS

MANIFEST = Manifest("world", bytes(32), bytes(32), bytes(32), "none", "Apache-2.0", "a test", None)
#: The rules of a small, quick network.
RULES: dict[str, Any] = {
    "genesis_ms": 1_000_000,
    "epoch_ms": 5_000,
    "slots_milli": 1_000,
    "panel_size": 2,
    "prompt_tokens": 12,
    "answer_tokens": 16,
    "temperature_milli": 800,
    "greedy_percent": 0,
    "anchor_lag": 1,
    "anchor_window": 4,
    "duty_epochs": 8,
    "dispute_epochs": 16,
    "disputes_per_cut": 2,
    "spot_check_permille": 0,
    "fork_epochs": 64,
    "cheat_ppm": 100_000,
    "conviction_odds": 1_000_000,
    "weight_changes_per_cut": 1,
    "growth_epochs": 16,
    "tenure_epochs": 0,
    "rest_epochs": 16_384,
    "across_percent": 25,
}


#: Each rule at the lower end of its range.
LOWEST: dict[str, Any] = {name: low for name, low, _ in PARAM_BOUNDS} | {"notice_epochs": NOTICE_EPOCHS}


def params(**changes: int) -> Params:
    return Params(**{**RULES, **changes})


def seeds(count: int, salt: str = "world") -> list[bytes]:
    """Identity seeds in the order of their public keys."""
    found = [hashlib.sha256(f"{salt}/{n}".encode()).digest() for n in range(count)]
    return sorted(found, key=sign.public_key)


def make_network(identities: list[bytes], *, founders: int | None = None, classes: int = 1, **changes: int) -> Network:
    """A network founded by the first identities. It has one exact class, or several that a referee judges across."""
    keys = [sign.public_key(seed) for seed in identities]
    rules: tuple[DeterminismClass, ...] = (DeterminismClass("exact", MANIFEST.digest, "toy", "any", 1_000),)
    if classes > 1:
        rules = tuple(
            DeterminismClass(f"path-{n}", MANIFEST.digest, "toy", f"path {n}", 1_000, ACROSS) for n in range(classes)
        )
    made = (tuple(sorted(keys[:founders])), (MANIFEST.digest,), rules, params(**changes))
    return Network("world", *made, "toy-exact/1" if classes > 1 else "")
