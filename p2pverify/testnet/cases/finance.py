"""Finance: banks train a model of credit risk together, and a sponsor pays for what each contributed."""

from p2pverify.core.contract.history.training import HELD_OUT, ONE_Q16
from p2pverify.core.contract.tariff import Tariff
from p2pverify.testnet.cases.roles import FINANCE
from p2pverify.testnet.cases.study import CaseStudy, CaseText, paragraphs

_CONTEXT = """
A bank sees few defaults of its own, and may not hand out the rows of its customers. Banks would train a model together
if those who contribute are paid, and those who do not are not.

The rows are real: German credit, 1000 customers, UCI, CC BY 4.0.
"""
_METHOD = """
Six banks hold the rows. A sponsor pays, and a scoring bureau only serves the model. Each is a process with its own key,
and they speak over libp2p.

In each round every bank trains on its own rows and seals the update. When the seals are closed, the updates are opened.
A lot then draws a few rows that were held out of training, and only these are shown to the members.

Each member computes the new weights, and what every update was worth on the shown rows of the others. The members vote
blind on the result, and more than two thirds must agree to the bit.

The sponsor has pledged an amount for each round. A round earns it in proportion to its gain. A fifth is split by the
number of rows, the rest by credit; late updates earn less. Right answers, audits and votes are paid by all together, in
equal parts. Every member computes all accounts from the ledger, and the sum is always 0.

A client of the sponsor's node asks the bureau and a bank whether credits will be repaid, with rows of customers. Each
answer has a price, and the node pays with cheques, two epochs later. What the bureau then holds in escrow goes back to
the client when the bureau is convicted for false answers.

In the middle of the run the publishers recall the newest version. The version before it is current again, and the
rounds go on from there. A quarter of the rows belongs to no bank. The runner measures each version on them.
"""
_DISCUSSION = """
Pay follows effect, and effect is measured on a few rows in each round. So pay is fair over many rounds, and not in each
of them. With noise for privacy on so few rows, a free rider would not be well separated from an honest bank.

A copied update opens for nobody, because its author is inside the seal. A free rider is not convicted, because a bank
with useless rows looks the same. It is only not paid.

A conviction takes what the convicted has earned and not been paid yet. It goes back to where it came from, and never to
the accuser.

Nothing is minted. An account below 0 is a debt to the others, and a debt is a claim and not money: payment outside is a
matter of the members. One owner with several keys earns more unless its keys are one house.
"""

FINANCE_STUDY = CaseStudy(
    name=FINANCE,
    data="german-credit",
    mode=HELD_OUT,
    shown=8,
    passes=2,
    rate_q16=ONE_Q16 // 20,
    tariff=Tariff(
        "USD",
        answer=10_000,
        audit=4_000,
        vote=2_000,
        dissent=100_000,
        vest_epochs=12,
        limit=50_000_000,
        rows_curve=((0, 0), (50, 500), (100, 1000)),
        late_curve=((0, 1000), (1, 700), (2, 400), (4, 0)),
        base_permille=200,
    ),
    bounty=1_000_000,
    event_after=3,
    text=CaseText(
        "Banks train a model together and are paid for it",
        "Will a credit be repaid? Thirty facts of an application say how likely it is.",
        paragraphs(_CONTEXT),
        paragraphs(_METHOD),
        paragraphs(_DISCUSSION),
    ),
)
