"""Files from peers, measured. Nothing here fails; figures are printed for one machine and one run.

uv run python -m tests.bench.net.bench_blobs     a model from one peer, and from three of which two are no use
"""
