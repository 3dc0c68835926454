"""Healthcare: hospitals train a model of tumours without handing out patients' rows."""

from p2pverify.core.contract.history.training import HELD_OUT, ONE_Q16
from p2pverify.testnet.cases.roles import HEALTHCARE
from p2pverify.testnet.cases.study import CaseStudy, CaseText, paragraphs

_CONTEXT = """
Each hospital has a few dozen patients. A model of so few rows is weaker than one of all rows, but no hospital may hand
out its rows. And no hospital knows whether the others contribute honestly.

The rows are real: Wisconsin Diagnostic Breast Cancer, 569 patients, UCI, CC BY 4.0.
"""
_METHOD = """
Six hospitals hold the rows. A registry and an authority hold none; they verify. Each is a process with its own key, and
they speak over libp2p.

In each round every hospital makes one training step over its own rows, adds noise, and seals the update. When the seals
are closed, the updates are opened. A lot then draws a few rows that were held out of training, and only these are shown
to the members. Each hospital has signed a statement that their patients consent.

Each member computes the new weights, and what every update was worth on the shown rows of the others. The members vote
blind on the result, and more than two thirds must agree to the bit.

The noise keeps the rows of a hospital within a privacy budget of eps 2 for all rounds together. All members count the
budget, and an update beyond it does not count.

After the first round a patient withdraws, and the hospital erases the row. The versions that were trained on it are
tainted. The line goes back to the version before them, and the members repeat their rounds without the row. At the end
the runner computes all rounds from the tables without the row, and the last version must have the same bytes.

A quarter of the rows belongs to no hospital. The runner measures each version on them, and no peer sees them. A
hospital alone trains by the same rule, with the same noise, on as many of its own rows.
"""
_DISCUSSION = """
What members still learn: the updates, which are noisy, and the shown rows, which are not. The noise covers a row in
training. It does not cover a row that is shown.

Nobody can check that a hospital added the noise. A hospital that leaves it out harms its own patients.

An update is worth what it does for the rows of others. False labels cannot be proven here, because nobody sees the
rows. They earn nothing, and after some rounds they are left out of the model. By chance, one of 350 honest contributors
was left out in our measurements.

Erasure deletes a row and its salt at the hospital, and the shown rows at all peers. A peer that keeps a copy against
the rules cannot be seen. The old versions stay in the ledger by their digests, and a peer can keep their weights.

A repeated round has new noise, because with the old noise the difference of two updates would be the erased row. So it
costs the budget again.

With noise on so few rows, a contributor that sends zeros is not well separated from an honest one: it gets about a
tenth of the credit. Floats are for readers. All that is signed or counted is an integer.
"""

HEALTHCARE_STUDY = CaseStudy(
    name=HEALTHCARE,
    data="wdbc",
    mode=HELD_OUT,
    eps=2_000_000,
    shown=3,
    rate_q16=ONE_Q16,
    repeats=4,
    text=CaseText(
        "Hospitals train a model together",
        "Is a tumour malignant? Thirty measures of cells from a fine needle aspirate say how likely it is.",
        paragraphs(_CONTEXT),
        paragraphs(_METHOD),
        paragraphs(_DISCUSSION),
    ),
)
