"""The verdict on whether this peer can be dialled, from the answers of peers that tried.

Four peers of distinct address groups are asked, and three of them must have got through. Fewer groups are known in a
small network, and on one machine there is only one; then all that are known must have got through, so that a single
peer decides alone only where it is the only one. A false "no" costs a detour over relays; a false "yes" is impossible,
because the attempt itself brings a nonce.
"""

from collections.abc import Mapping

ASKED_MAX = 4
NEEDED = 3


def is_dialled(answers: Mapping[str, bool]) -> bool | None:
    """Whether this peer can be dialled, by the answers of groups; None if nobody answered."""
    if not answers:
        return None
    return sum(answers.values()) >= min(NEEDED, len(answers))
