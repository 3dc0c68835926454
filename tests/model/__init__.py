"""The model of certified cuts in protocol/model, checked by Quint.

The tests install Quint themselves, once per version of `package.json`, into the user's cache folder (or
P2PVERIFY_TEST_CACHE). This needs npm, its registry and Node.js 20 or later.
"""
