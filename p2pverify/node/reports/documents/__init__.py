"""The answers of the local API as frozen objects. Reports build them, the API writes them, and its readers parse them.

Digests and ids are lower-case hex, rates are fractions of 1, margins are in micronats (1e-6 nat). The order of the
fields is the order of the keys in JSON. `jsonform` writes and reads; it ignores keys of a newer node that it does not
know. The objects are plain dataclasses, because pydantic would more than double the start of `p2pverify scores`.
FastAPI makes `/openapi.json` from them all the same.
"""
