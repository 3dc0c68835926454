"""Kinds of items in the schedule: the events of a peer and of the world.

An item is a tuple. Its first member is the kind; the other members are:

- RPC: link, key of the sender, RPC;
- UP and DOWN: link;
- SYNC_FRAME: link, frame;
- every other kind: the life of the receiving peer, and then
  - ENGINE: job, time of queueing (ms);
  - REQUEST: ticket, bytes, requester;
  - EVIDENCE: ticket, bytes, key of the asker;
  - CHEQUE: ticket, bytes, key of the debtor;
  - RESPONSE: ask, bytes, elapsed time (ms);
  - FAILED: ask, reason;
  - ORDER: the order of its operator;
  - TRAINED: the outcome of an order of a training round.
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
ORDER = 12
EVIDENCE = 13
TRAINED = 14
CHEQUE = 15

#: Items of the world instead of a peer: (kind, subject, ...).
DIAL = 20
FAULT = 21
HEAL = 22
START = 23
UPGRADE = 24
