"""One invariant of every decoder of outside bytes: any bytes give a value or its own kind of error, nothing else.

The decoders stand in `decoders`, and `test_registry` holds that none is missing. `test_any_bytes` tries them with
hypothesis: arbitrary bytes, and valid vectors of `protocol/vectors` with a few bytes changed. `run_atheris` goes on
for as long as one likes, guided by coverage, where atheris is installed.
"""
