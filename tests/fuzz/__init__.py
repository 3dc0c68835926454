"""One invariant of every decoder of outside bytes: any bytes give a value or the decoder's own error, and nothing else.

`decoders` has the decoders, and `test_registry` checks that none is missing. `test_any_bytes` tries them with
hypothesis: arbitrary bytes, and valid vectors of `protocol/vectors` with a few changed bytes. `run_atheris` runs for
any time, guided by coverage, if atheris is installed.
"""
