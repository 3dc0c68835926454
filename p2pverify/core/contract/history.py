"""Whether a network keeps a history of models and data. Kinds of records that belong to one count only there."""

from p2pverify.core.contract.network import Network


def has_history(_network: Network) -> bool:
    """Whether records of data sets, erasures and statements count in a network."""
    return True
