"""The grammar describes proof files, and the page names the limits of the code."""

from dataclasses import replace
from pathlib import Path

from p2pverify.core.contract.output import Output
from p2pverify.core.inference.compare import Measure
from p2pverify.node.rerun import proof
from p2pverify.node.rerun.judge import Rerun
from tests.support.grammar import conforms
from tests.support.networks import MANIFEST, make_network, seeds

PAGE = (Path(__file__).parents[2] / "protocol" / "rerun.md").read_text(encoding="utf-8")
WITHIN = proof.WrongCase(b"audit", b"duty", bytes(32), bytes(32), (b"vote",), Rerun(bytes(32)))
ACROSS = replace(
    WITHIN,
    computed=Rerun(bytes(32), (Measure(1, 2, 3, 4), None)),
    outputs=(Output((1, 2), "stop", bytes(32)), None),
)


def test_the_grammar_describes_proof_files() -> None:
    """Proofs within a class and across classes conform, and proofs without a decision do not."""
    network = make_network(seeds(3)).encode()
    for case in (WITHIN, ACROSS):
        assert conforms("rerun-proof", proof.RerunProof(network, MANIFEST.encode(), (case,)).encode())
    assert not conforms("rerun-proof", proof.RerunProof(network, MANIFEST.encode(), ()).encode())
    assert not conforms("rerun-proof", proof.RerunProof(b"", MANIFEST.encode(), (WITHIN,)).encode())


def test_the_page_names_the_limits() -> None:
    """Bytes of a file, decisions, and votes of a decision."""
    assert f"at most {proof.PROOF_BYTES_MAX:,} bytes" in PAGE
    assert f"1*{proof.CASES_MAX} wrong-decision" in PAGE
    assert f"*{proof.VOTES_MAX} record-bytes" in PAGE
