"""Our nodes in one mesh with peers made of js-libp2p and of py-libp2p alone, over real sockets on loopback.

The JavaScript packages are installed by the tests themselves, once per version of `package.json`, into the user's
cache folder (P2PVERIFY_TEST_CACHE names another place). That takes npm, its registry and Node.js 20 or later.
"""
