"""Our nodes in one mesh with peers of js-libp2p and of py-libp2p, over real sockets on loopback.

The tests install the JavaScript packages themselves, once per version of `package.json`, into the user's cache folder
(or P2PVERIFY_TEST_CACHE). This needs npm, its registry and Node.js 20 or later.
"""
