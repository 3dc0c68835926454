"""Who is who in the case studies: the roles of their peers, in order. The first ones train, and the others verify."""

from collections.abc import Mapping, Sequence

HEALTHCARE, SUPPLY_CHAIN = "healthcare", "supply-chain"
CASE_PEERS = 8
#: A round needs five contributors, so that one of them can be false. So there are six, and one of them can be gone.
CONTRIBUTORS: Mapping[str, int] = {HEALTHCARE: 6, SUPPLY_CHAIN: 6}
ROLES: Mapping[str, Sequence[str]] = {
    HEALTHCARE: (*["hospital"] * 6, "registry", "authority"),
    SUPPLY_CHAIN: (*["consignee"] * 4, "carrier", "retailer", "producer", "warehouse"),
}
