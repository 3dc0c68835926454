"""Default documents of a node about itself and its network."""

ALICE = "12D3KooWSP57aGZQFeT62guhLo4JtDYJdYxtewsz9NaJaCuCz2YY"
ROOT = "ab" * 32
SCORES = {
    "schema": "p2pverify/scores/1",
    "network": ROOT,
    "final": True,
    "cut": "cd" * 32,
    "epoch": 12,
    "scores": [
        {"peer_id": ALICE, "standing": "trusted", "weight": 1, "low": 0.912345, "high": 1.0, "audits": 40,
         "dissents": 0, "challengers": 5, "no_shows": 0, "last_audit_epoch": 11},
        {"peer_id": "bob", "standing": "convicted", "weight": 0, "low": 0.0, "high": 0.31, "audits": 7,
         "dissents": 4, "challengers": 3, "no_shows": 1, "last_audit_epoch": None},
    ],
}  # fmt: skip
STATUS = {
    "schema": "p2pverify/status/1",
    "peer_id": ALICE,
    "network": ROOT,
    "network_name": "mesh \x1b[31m\nred",
    "epoch": 12,
    "model": "toy",
    "class": "toy",
    "uptime_s": 3700,
    "addresses": ["/ip4/192.0.2.1/tcp/4747"],
    "neighbours": 7,
    "records": 1234,
    "standing": "trusted",
    "ready": False,
    "reasons": ["no neighbours"],
    "final": {"cut": "cd" * 32, "epoch": 11, "index": 3, "ledger_root": ROOT, "view_root": ROOT},
}
AUDITS = {
    "schema": "p2pverify/audits/1",
    "audits": [
        {"id": "e3-1-alice", "challenger": "alice", "epoch": 3, "slot": 1, "across": True, "differ": True,
         "status": "disputed",
         "asked": [{"peer_id": "bob", "answered": True}, {"peer_id": "carol", "answered": False}]},
    ],
    "disputes": [
        {"id": "e3-1-alice", "challenger": "alice", "epoch": 3, "slot": 1, "status": "decided", "electorate": 8,
         "commits": 8, "votes": 7, "decision": ROOT, "losers": ["bob"]},
    ],
}  # fmt: skip
