"""The name of a model as a client writes it, with a suffix that says how answers are checked.

The suffix is for clients that cannot send fields of their own: `MODEL@n5z10` means a panel of 5 for one in 10 requests.
`@n5` and `@z10` are half of it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.plan import PANEL_MAX, PLAN_REQUESTS_MAX
from p2pverify.core.window import CheckPolicy
from p2pverify.node.clients.language import model_name

#: The panel of a client that says only how often to check, if there is no other panel. It can have a majority.
PANEL = 3
_SUFFIX = re.compile(r"(?:n([1-9]\d{0,5}))?(?:z([1-9]\d{0,5}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A model's name without its suffix, and what the suffix says."""

    name: str
    panel: int | None = None
    every: int | None = None

    def policy(self, usual: CheckPolicy, panel: int | None = None, every: int | None = None) -> CheckPolicy:
        """How a request is checked that also gives `panel` and `every` apart from the name; else as `usual`.

        Raises PolicyError if the two contradict each other.
        """
        seats, often = _one("panel", panel, self.panel), _one("every", every, self.every)
        if seats is None:
            seats = usual.panel if often is None or usual.panel > 1 else PANEL
        return CheckPolicy(seats, usual.every if often is None else often)


class PolicyError(ValueError):
    """The suffix of a model and the field `name` contradict each other."""

    def __init__(self, name: str) -> None:
        super().__init__("it differs from the suffix of the model; give one of them")
        self.name = name


def named_model(text: str) -> NamedModel:
    """Take a model's name apart. Raises ValueError for a suffix that says nothing."""
    name, at, suffix = text.rpartition("@")
    if not at:
        return NamedModel(text)
    found = _SUFFIX.fullmatch(suffix)
    if not suffix or found is None:
        raise ValueError(f"after '@' stands how to check, such as n5, z10 or n5z10, not {suffix[:40]!a}")
    panel, every = (None if number is None else int(number) for number in found.groups())
    for letter, number, most in (("n", panel, PANEL_MAX), ("z", every, PLAN_REQUESTS_MAX)):
        if number is not None and number > most:
            raise ValueError(f"{letter} is from 1 to {most}, not {number}")
    return NamedModel(name, panel, every)


def models_named(manifests: Mapping[bytes, Manifest], name: str) -> list[bytes]:
    """The digests of the manifests that a client can mean, of those given by their digests.

    A digest in hexadecimal means one manifest. Several can have the same name.
    """
    exact = [digest for digest in manifests if digest.hex() == name]
    return exact or [digest for digest, one in manifests.items() if name in (model_name(one.model), one.model)]


def _one(name: str, field: int | None, suffix: int | None) -> int | None:
    if field is not None and suffix is not None and field != suffix:
        raise PolicyError(name)
    return suffix if field is None else field
