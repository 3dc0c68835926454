"""Supply chain: partners predict late consignments from open rows, and sign hand-overs of lots together."""

from p2pverify.core.contract.history.training import ONE_Q16, OPEN
from p2pverify.testnet.cases.roles import SUPPLY_CHAIN
from p2pverify.testnet.cases.study import CaseStudy, CaseText, paragraphs

_CONTEXT = """
A lot passes through many hands. Each partner knows its own part of the way, and the next one depends on it. Together
they can predict which consignment will be late, and show afterwards who handed over what.

The rows are real: 2201 flights from Washington to New York in January 2004, US Bureau of Transportation Statistics,
public domain. A flight stands for a consignment.
"""
_METHOD = """
Four consignees, a carrier and a retailer hold the rows. A producer and a warehouse hold none; they verify. Each is a
process with its own key, and they speak over libp2p.

The rows are open to all members. So every member trains each update again, from the rows and the order that was drawn.
An update that differs in a single bit is false. A false update is a lost dispute, and lost disputes convict.

Each round says which updates came late, by the certified cut that holds the seal and not by a claimed time.

A lot goes from the producer to a consignee. At each hand-over the giver writes a statement and the taker signs it too.
The ledger holds salted commitments to the statements; 'p2pverify trace' follows them back to the producer.

A quarter of the rows belongs to no peer. The runner measures each version on them.
"""
_DISCUSSION = """
What is proven: which rows were committed and when, that an update follows from them, what each version is, and in
which order hand-overs stood in certified cuts.

What is a signed word: that a committed row is true, and that a lot is what a statement says. Two partners that lie
together are not seen.

A hand-over that the taker did not sign is the word of the giver alone. Nothing convicts for it; the trace shows it.

Late updates are right, and they count. With a tariff a curve would lower their pay. Rows here are dealt at random; with
each carrier as a peer of its own, contributors are unlike and honest minorities earn little.
"""

SUPPLY_CHAIN_STUDY = CaseStudy(
    name=SUPPLY_CHAIN,
    data="flights",
    mode=OPEN,
    shown=8,
    passes=2,
    rate_q16=ONE_Q16 // 20,
    seal_cuts=4,
    deceits={7: "swap-lot"},
    text=CaseText(
        "Partners of a supply chain predict delays and trace a lot",
        "Will a consignment be late? Hour, day, distance, route and weather say how likely it is.",
        paragraphs(_CONTEXT),
        paragraphs(_METHOD),
        paragraphs(_DISCUSSION),
    ),
)
