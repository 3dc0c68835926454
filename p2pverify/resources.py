"""Finds the files that are not Python, `protocol/` and `testnet/`, in a wheel and in a checkout."""

from importlib.resources import files
from pathlib import Path


def resource(name: str) -> Path:
    """The directory `name`: the packaged copy, else the one at the top of the checkout.

    Raises FileNotFoundError if there is neither.
    """
    packaged = Path(str(files("p2pverify"))) / "_data" / name
    if packaged.is_dir():
        return packaged
    checkout = Path(__file__).resolve().parent.parent / name
    if checkout.is_dir():
        return checkout
    raise FileNotFoundError(f"p2pverify was installed without its directory {name!r}")
