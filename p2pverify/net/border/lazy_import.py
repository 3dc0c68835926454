"""Imports of the few libp2p modules that we use, without the rest of the library.

`import libp2p` runs the package's own `__init__`, which loads every transport, the DHT, ACME and two HTTP clients. That
costs each process of a testnet two seconds of CPU and 35 MB. Here these packages are put into `sys.modules` as deferred
modules. Their submodules can be imported. The real `__init__` runs only at the first access to one of its names, so
code that wants the whole library still gets it. The module `harden` decides what is imported.
"""

import importlib.machinery
import sys
from types import ModuleType
from typing import Any

DEFERRED_PACKAGES = (
    "libp2p",
    "libp2p.transport",
    "libp2p.transport.quic",
    "libp2p.transport.quic.stream",
    "libp2p.network",
    "libp2p.pubsub",
    "libp2p.identity",
    "libp2p.identity.identify",
    "libp2p.security",
    "libp2p.relay",
    "libp2p.relay.circuit_v2",
)


class _Deferred(ModuleType):
    """A module whose code runs at the first access to a name that it lacks."""

    def __getattr__(self, name: str) -> Any:
        spec = self.__dict__.get("__spec__")
        if name.startswith("__") or spec is None or spec.loader is None or self.__dict__.get("_executed"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        _drop_stand_ins()
        self.__dict__["_executed"] = True
        spec.loader.exec_module(self)
        return getattr(self, name)


class _QUICStreamStandIn:
    """The library's type aliases name its QUIC stream; the real class would load a QUIC and TLS stack."""


def _drop_stand_ins() -> None:
    stream = sys.modules.get("libp2p.transport.quic.stream")
    if stream is not None and stream.__dict__.get("QUICStream") is _QUICStreamStandIn:
        del stream.__dict__["QUICStream"]


def defer_packages() -> bool:
    """Put the deferred packages in place. False, with nothing done, if libp2p is loaded already."""
    if "libp2p" in sys.modules:
        return False
    for name in DEFERRED_PACKAGES:
        parent, _, leaf = name.rpartition(".")
        spec = importlib.machinery.PathFinder.find_spec(name, sys.modules[parent].__path__ if parent else None)
        if spec is None:
            raise ModuleNotFoundError(f"{name} is not installed", name=name)
        module = _Deferred(name)
        module.__spec__ = spec
        module.__file__ = spec.origin
        module.__loader__ = spec.loader
        if spec.submodule_search_locations is not None:
            module.__path__ = list(spec.submodule_search_locations)
        sys.modules[name] = module
        if parent:
            setattr(sys.modules[parent], leaf, module)
    sys.modules["libp2p.transport.quic.stream"].__dict__["QUICStream"] = _QUICStreamStandIn
    return True
