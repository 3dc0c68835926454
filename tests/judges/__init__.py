"""Other people's programs judge what p2pverify writes, and p2pverify judges what they write.

`uv run --group judges pytest -n 0 tests/judges`. The test of Croissant has a group of its own, because it brings
pandas: `uv run --group croissant pytest -n 0 tests/judges/test_croissant.py`. It is skipped without mlcroissant.
"""
