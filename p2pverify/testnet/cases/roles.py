"""Who is who in the case studies: the roles of their peers, in order. The first ones train, and the others verify."""

from collections.abc import Mapping, Sequence

HEALTHCARE, FINANCE, SUPPLY_CHAIN = "healthcare", "finance", "supply-chain"
CASE_PEERS = 8
#: The role of who pays for rounds.
SPONSOR = "sponsor"
#: A round needs five contributors, so that one of them can be false. So there are six, and one of them can be gone.
CONTRIBUTORS: Mapping[str, int] = {HEALTHCARE: 6, FINANCE: 6, SUPPLY_CHAIN: 6}
ROLES: Mapping[str, Sequence[str]] = {
    HEALTHCARE: (*["hospital"] * 6, "registry", "authority"),
    FINANCE: (*["bank"] * 6, SPONSOR, "scoring bureau"),
    SUPPLY_CHAIN: (*["consignee"] * 4, "carrier", "retailer", "producer", "warehouse"),
}


def able_to_cheat(study: str, *, in_training: bool) -> Sequence[int]:
    """The places of the peers that can cheat in training, or in anything else. A sponsor is honest."""
    first = CONTRIBUTORS[study]
    if in_training:
        return range(first)
    return [place for place in range(first, CASE_PEERS) if ROLES[study][place] != SPONSOR]
