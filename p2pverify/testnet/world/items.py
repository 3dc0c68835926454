"""Kinds of items in the schedule: what may happen at a peer, and to the world.

The members that follow the kind: RPC (link, key of its sender, RPC); UP and DOWN (link); SYNC_FRAME (link, frame);
for all others the life of the peer that they are meant for, then ENGINE (job, queued at), REQUEST (ticket, bytes,
requester), EVIDENCE (ticket, bytes), RESPONSE (ask, bytes, how long it took), FAILED (ask, reason).
"""

RPC = 0
UP = 1
DOWN = 2
TICK = 3
BEAT = 4
RELEASE = 5
ENGINE = 6
REQUEST = 7
RESPONSE = 8
FAILED = 9
SYNC = 10
SYNC_FRAME = 11
LEAVE = 12
EVIDENCE = 13

#: Of the world, not of a peer: (kind, what is met, ...).
DIAL = 20
FAULT = 21
HEAL = 22
START = 23
