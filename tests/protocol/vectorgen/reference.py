"""Write the negentropy sessions anew, with the JavaScript reference implementation on one side or on both.

    python tests/protocol/vectorgen/reference.py PATH/TO/Negentropy.js

The file is js/Negentropy.js of github.com/hoytech/negentropy, and is run by `node`. Before anything is written, some
hundred sessions between random sets are played by both implementations and compared.
"""

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))
sys.path.insert(0, str(Path(__file__).parents[1]))

from vectorgen.sets import UNLIMITED, index_of, items_of

from p2pverify.core.sync.negentropy import Initiator, RangeResponder

TARGET = Path(__file__).parents[3] / "protocol" / "vectors" / "negentropy" / "sessions.json"
SHIM = """
const { Negentropy, NegentropyStorageVector } = require(process.argv[1]);
const sides = {};
require('readline').createInterface({ input: process.stdin }).on('line', async (line) => {
  const { side, items, limit, message } = JSON.parse(line);
  let said;
  if (items) {
    const storage = new NegentropyStorageVector();
    for (const [timestamp, id] of items) storage.insert(timestamp, id);
    storage.seal();
    sides[side] = new Negentropy(storage, limit);
    said = null;
  } else if (message === null) {
    said = [await sides[side].initiate(), [], []];
  } else {
    said = await sides[side].reconcile(message);
  }
  console.log(JSON.stringify(said));
});
"""
Set = dict[str, Any]


class Reference:
    """The reference implementation in a process."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            ["node", "-e", SHIM, str(path.resolve())], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, **request: object) -> Any:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    def side(self, name: str, held: Set, limit: int) -> None:
        self.ask(side=name, items=[[epoch, found.hex()] for epoch, found in items_of(held)], limit=limit)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def play(reference: Reference, held: dict[str, Set], by: dict[str, str], limits: dict[str, int]) -> dict[str, Any]:
    """One session to its end: every message, and what the initiator learned."""
    ours: dict[str, Any] = {}
    for side, kind in (("initiator", Initiator), ("responder", RangeResponder)):
        if by[side] == "reference":
            reference.side(side, held[side], limits[side])
        else:
            ours[side] = kind(index_of(held[side]), bytes_max=limits[side] or UNLIMITED)
    messages: list[str] = []
    have: list[str] = []
    need: list[str] = []
    message = ours["initiator"].initiate() if ours.get("initiator") else None
    if message is None:
        message = bytes.fromhex(reference.ask(side="initiator", message=None)[0])
    while message is not None:
        if "responder" in ours:
            answer = ours["responder"].answer(message)
        else:
            answer = bytes.fromhex(reference.ask(side="responder", message=message.hex())[0])
        messages += [message.hex(), answer.hex()]
        if "initiator" in ours:
            message, found = ours["initiator"].reconcile(answer)
            have += [each.hex() for each in found.have]
            need += [each.hex() for each in found.need]
        else:
            said, more_have, more_need = reference.ask(side="initiator", message=answer.hex())
            message = None if said is None else bytes.fromhex(said)
            have += more_have
            need += more_need
    return {"messages": messages, "have": have, "need": need}


def _set(per_timestamp: int, *ranges: list[int], without: list[int] | None = None) -> Set:
    return {"per_timestamp": per_timestamp, "ranges": list(ranges), "without": without or []}


def sessions() -> Iterator[tuple[str, Set, Set, str, str, int, int]]:
    """Comment, both sets, the players of initiator and responder, and their limits."""
    few, many = _set(3, [0, 20]), _set(10, [0, 600])
    holes = [7 * n * n % 600 for n in range(1, 9)]
    both = ("reference", "reference", 0, 0)
    yield "both hold nothing", _set(1), _set(1), *both
    yield "both hold the same few", few, few, *both
    yield "both hold the same many", many, many, *both
    yield "a newcomer that holds nothing", _set(3), few, *both
    yield "the other side holds nothing", few, _set(3), *both
    yield "nothing in common, few", _set(3, [0, 20]), _set(3, [20, 40]), *both
    yield "nothing in common, many", _set(10, [0, 300]), _set(10, [300, 600]), *both
    yield "a late joiner lacks the newest", _set(10, [0, 500]), many, *both
    yield "one record in the middle is missing", _set(10, [0, 600], without=[333]), many, *both
    yield "scattered holes on our side", _set(10, [0, 600], without=holes), many, *both
    yield "scattered holes on both sides", _set(10, [0, 600], without=holes), _set(10, [0, 600], without=[1, 99]), *both
    yield "31 ids are a list", _set(1), _set(1, [0, 31]), *both
    yield "32 ids are fingerprints", _set(1, [0, 32]), _set(1, [0, 31]), *both
    yield "all of one timestamp", _set(10_000, [0, 400]), _set(10_000, [0, 400], without=holes[:3]), *both
    yield "large timestamps", _set(1, [2**30, 2**30 + 40]), _set(1, [2**30 + 1, 2**30 + 41]), *both
    late, early = _set(10, [0, 300], without=list(range(0, 300, 9))), _set(10, [0, 300])
    yield "the responder is limited to 4,096 bytes", late, early, "reference", "reference", 0, 4096
    yield "a newcomer and a limited responder", _set(10), early, "reference", "reference", 0, 4096
    yield "our initiator, the reference's limited responder", late, early, "ours", "reference", 4096, 4096
    yield "the reference's initiator, our limited responder", late, early, "reference", "ours", 0, 4096
    yield "the reference's newcomer, our limited responder", _set(10), early, "reference", "ours", 0, 4096
    yield "both ours and limited", late, early, "ours", "ours", 4096, 4096


def compare(reference: Reference, dice: random.Random) -> None:
    """Play one random session with each side on each implementation. Unlimited sessions must have equal bytes."""
    per, size = dice.choice([1, 3, 40, 10_000]), dice.choice([0, 10, 40, 300, 2000])
    sets = {
        side: _set(
            per,
            [0, size],
            without=sorted(dice.sample(range(size), dice.randrange(size // dice.choice([1, 9, 40]) + 1))),
        )
        for side in ("initiator", "responder")
    }
    ids = {side: {found.hex() for _, found in items_of(held)} for side, held in sets.items()}
    limit = dice.choice([0, 4096, 9000])
    first = None
    for one in ("reference", "ours"):
        for two in ("reference", "ours"):
            limits = {"initiator": limit if one == "ours" else 0, "responder": limit}
            found = play(reference, sets, {"initiator": one, "responder": two}, limits)
            # A limited reference repeats some ranges, and then names an id twice.
            assert set(found["have"]) == ids["initiator"] - ids["responder"]
            assert set(found["need"]) == ids["responder"] - ids["initiator"]
            first = first or found
            assert limit or found == first


def main() -> None:
    reference = Reference(Path(sys.argv[1]))
    dice = random.Random(1)
    for _ in range(300):
        compare(reference, dice)
    cases = []
    for comment, ours, theirs, one, two, limit_one, limit_two in sessions():
        by, limits = {"initiator": one, "responder": two}, {"initiator": limit_one, "responder": limit_two}
        expect = play(reference, {"initiator": ours, "responder": theirs}, by, limits)
        inputs = {"ours": ours, "theirs": theirs, "by": by, "limits": limits}
        cases.append({"comment": comment, "input": inputs, "expect": expect, "reason": None})
    reference.close()
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(json.dumps(cases, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
