"""A second implementation of settlement, from protocol/settle.md and the pages of its records alone.

It imports nothing of the package. Keys are hexadecimal text, so that they sort like their bytes; the pool's is empty.
A story is what `protocol/vectors/settle` has as input.
"""

from typing import Any

SUMS = {"answer": 0, "audit": 1, "vote": 2}
TRAINING, FORFEITED = 3, 4
TOP = 2**63 - 1


def curve(points: list[list[int]], x: int) -> int:
    before = points[0]
    for point in points:
        if x <= point[0]:
            if point is before:
                return point[1]
            return before[1] + (point[1] - before[1]) * (x - before[0]) // (point[0] - before[0])
        before = point
    return before[1]


def apportion(total: int, weights: dict[str, int]) -> dict[str, int]:
    whole = sum(weights.values())
    if whole == 0:
        return dict.fromkeys(weights, 0)
    parts = {key: total * weight // whole for key, weight in weights.items()}
    order = [key for _, key in sorted((-(total * weight % whole), key) for key, weight in weights.items())]
    for key in order[: total - sum(parts.values())]:
        parts[key] += 1
    return parts


def netting(amounts: dict[str, int]) -> list[list[Any]]:
    debts: list[list[Any]] = [[key, -amounts[key]] for key in sorted(amounts, key=lambda k: (amounts[k], k))]
    claims: list[list[Any]] = [[key, amounts[key]] for key in sorted(amounts, key=lambda k: (-amounts[k], k))]
    debts, claims = [[d for d in each if d[1] > 0] for each in (debts, claims)]
    found: list[list[Any]] = []
    while debts:
        amount = min(debts[0][1], claims[0][1])
        found.append([debts[0][0], claims[0][0], amount])
        for each in (debts, claims):
            each[0][1] -= amount
            if each[0][1] == 0:
                each.pop(0)
    return found


class Second:
    def __init__(self, tariff: dict[str, Any]) -> None:
        self.t = tariff
        self.vested: dict[str, int] = {"": 0}
        self.escrow: dict[str, dict[tuple[int, str], int]] = {}
        self.sums: dict[str, list[int]] = {}
        self.claims: dict[tuple[str, str, int], dict[str, Any]] = {}  # creditor, debtor, until
        self.pledges: dict[tuple[int, str], list[int]] = {}
        self.convicted: set[str] = set()

    def vests(self, epoch: int) -> int:
        step = max(1, self.t["vest_epochs"] // 4)
        at = epoch + self.t["vest_epochs"]
        return at if at % step == 0 else at + step - at % step

    def move(self, key: str, amount: int) -> None:
        self.vested[key] = self.vested.get(key, 0) + amount

    def add(self, key: str, place: int, amount: int) -> None:
        sums = self.sums.setdefault(key, [0] * 5)
        sums[place] = min(TOP, sums[place] + amount)

    def hold(self, key: str, source: str, amount: int, epoch: int) -> None:
        self.move(key, 0)
        held, entry = self.escrow.setdefault(key, {}), (self.vests(epoch), source)
        if source and entry not in held and len(held) >= 64:
            self.move(key, amount)
        elif amount:
            held[entry] = held.get(entry, 0) + amount

    def room(self, key: str) -> int:
        reserve = sum(p[0] * (p[2] - p[1] + 1) for (_, sponsor), p in self.pledges.items() if sponsor == key)
        return self.vested.get(key, 0) - reserve + int(self.t["limit"])

    def owed(self, claim: dict[str, Any]) -> int:
        return int(claim["cumulative"] - claim["settled"])

    def ripe(self, claim: dict[str, Any]) -> int:
        return self.owed(claim) - sum(claim["escrow"].values())

    def back(self, source: str, amount: int) -> None:
        self.move(source if source in self.vested else "", amount)

    def forfeit(self, key: str, most: int | None) -> None:
        held = [(at, source, -1) for at, source in self.escrow.get(key, {})]
        held += [(at, d, until) for (c, d, until), one in self.claims.items() if c == key for at in one["escrow"]]
        for at, source, until in sorted(held):
            where: dict[Any, int] = self.escrow[key] if until < 0 else self.claims[key, source, until]["escrow"]
            entry: Any = (at, source) if until < 0 else at
            amount = where[entry] if most is None else min(most, where[entry])
            if amount == 0:
                break
            most = None if most is None else most - amount
            where[entry] -= amount
            if not where[entry]:
                del where[entry]
            if until < 0:
                self.back(source, amount)
            else:
                self.claims[key, source, until]["settled"] += amount
            self.move(key, 0)
            self.add(key, FORFEITED, amount)

    def cut(self, cut: dict[str, Any]) -> list[str]:
        """Settle one cut; returns why records of it do not count."""
        epoch, rows, convicted = cut["epoch"], set(cut["rows"]), set(cut["convicted"])
        payers = [key for key in cut["base"] if key in rows and key not in convicted]
        even = sorted(key for key in payers if self.room(key) > 0)
        dissents: dict[str, int] = {}
        for what, key in cut.get("earned", []):
            if what == "dissent":
                dissents[key] = dissents.get(key, 0) + 1
            elif key in even:
                self.hold(key, "", self.t[what], epoch)
                self.add(key, SUMS[what], self.t[what])
                self.move("", -self.t[what])
        for key in sorted(dissents):
            self.forfeit(key, dissents[key] * self.t["dissent"])
        for key in sorted(convicted - self.convicted):
            self.forfeit(key, None)
        self.convicted = convicted
        for key, held in self.escrow.items():
            for entry in [entry for entry in held if entry[0] <= epoch]:
                self.move(key, held.pop(entry))
        for claim in self.claims.values():
            claim["escrow"] = {at: amount for at, amount in claim["escrow"].items() if at > epoch}
        due = -self.vested[""] - sum(a for held in self.escrow.values() for (_, s), a in held.items() if s == "")
        for key, part in apportion(max(0, due), dict.fromkeys(even, 1)).items():
            paid = max(0, min(part, self.room(key)))
            if paid:
                self.move(key, -paid)
                self.move("", paid)
        for decided in sorted(cut.get("rounds", []), key=lambda r: (r["line"], r["number"])):
            self.pay(decided, [c for c in decided["contributions"] if c[0] in rows - convicted], epoch)
        refused = [self.pledge(cut, *p) for p in cut.get("pledges", [])]
        refused += [self.cheque(cut, *c) for c in cut.get("cheques", [])]
        refused += [self.payment(*p) for p in cut.get("payments", [])]
        self.forget(cut, rows)
        return [reason for reason in refused if reason]

    def pay(self, decided: dict[str, Any], contributions: list[list[Any]], epoch: int) -> None:
        number, gain, late = decided["number"], decided["gain"], self.t["late_curve"]
        for key in sorted(self.pledges):
            bounty, first, last = self.pledges[key]
            if key[0] != decided["line"] or number < first:
                continue
            if number <= last:
                pot = 0
                if gain >= decided["gain_min"] and gain >= 1:
                    pot = bounty * min(gain, decided["gain_full"]) // decided["gain_full"]
                base, good = pot * self.t["base_permille"] // 1000, [c for c in contributions if c[1] > 0]
                by_rows = {c[0]: curve(self.t["rows_curve"], c[2]) * curve(late, c[3]) for c in good}
                one = apportion(base, by_rows)
                two = apportion(pot - base, {c[0]: c[1] * curve(late, c[3]) for c in good})
                for author in sorted(one):
                    amount = one[author] + two[author]
                    if amount:
                        self.move(key[1], -amount)
                        self.hold(author, key[1], amount, epoch)
                        self.add(author, TRAINING, amount)
            self.pledges[key][1] = number + 1
            if number + 1 > last:
                del self.pledges[key]

    def pledge(self, cut: dict[str, Any], line: int, key: str, bounty: int, first: int, last: int) -> str | None:
        if key not in cut["weighted"] or key in cut["convicted"]:
            return "author has no weight"
        if (line, key) in self.pledges:
            return "author has one for the line"
        if len([1 for one, _ in self.pledges if one == line]) >= 8:
            return "line has too many"
        if bounty * (last - first + 1) > self.room(key):
            return "more than author may owe"
        self.pledges[line, key] = [bounty, first, last]
        return None

    def cheque(self, cut: dict[str, Any], key: str, debtor: str, until: int, total: int, count: int) -> str | None:
        if key not in cut["weighted"] or key in cut["convicted"]:
            return "author has no weight"
        if until < cut["epoch"]:
            return "its series is over"
        if until > cut["epoch"] + 2**20:
            return "its series ends too late"
        claim = self.claims.get((key, debtor, until))
        if claim is None:
            if len([1 for creditor, _, _ in self.claims if creditor == key]) >= 64:
                return "author has too many series"
            claim = self.claims[key, debtor, until] = {"cumulative": 0, "count": 0, "settled": 0, "escrow": {}}
        if total <= claim["cumulative"] or count <= claim["count"]:
            return "a greater one is known"
        at = self.vests(cut["epoch"])
        claim["escrow"][at] = claim["escrow"].get(at, 0) + total - claim["cumulative"]
        claim["cumulative"], claim["count"] = total, count
        return None

    def payment(self, key: str, debtor: str, amount: int) -> str | None:
        claims = [self.claims[each] for each in sorted(self.claims) if each[:2] == (key, debtor)]
        vested = self.vested.get(key, 0)
        among_all = max(0, min(vested, self.room(key), -self.vested.get(debtor, 0)))
        if amount > among_all + sum(map(self.ripe, claims)):
            return "more than is owed"
        for claim in claims:
            part = min(amount, self.ripe(claim))
            claim["settled"] += part
            amount -= part
        if amount:
            self.move(key, -amount)
            self.move(debtor, amount)
        return None

    def forget(self, cut: dict[str, Any], rows: set[str]) -> None:
        for line, key in [each for each in self.pledges if each[1] not in rows or each[1] in cut["convicted"]]:
            del self.pledges[line, key]
        for each, claim in list(self.claims.items()):
            if each[0] not in rows or (self.owed(claim) == 0 and cut["epoch"] > each[2]):
                del self.claims[each]
        for key in sorted(self.vested):
            if key and key not in rows:
                left = self.vested.pop(key)
                for (_, source), amount in sorted(self.escrow.pop(key, {}).items()):
                    self.back(source, amount)
                self.move("", left)
                self.sums.pop(key, None)
        for key, amount in list(self.vested.items()):
            if key and not amount and not self.escrow.get(key) and key not in cut["had_weight"]:
                del self.vested[key]
                self.sums.pop(key, None)

    def rows(self) -> list[list[Any]]:
        keys = (
            set(self.vested) | {creditor for creditor, _, _ in self.claims} | {debtor for _, debtor, _ in self.claims}
        )
        found = []
        for key in sorted(keys):
            mine = [claim for (creditor, _, _), claim in self.claims.items() if creditor == key]
            owes = sum(self.owed(claim) for (_, debtor, _), claim in self.claims.items() if debtor == key)
            held = sum(self.escrow.get(key, {}).values()) + sum(sum(claim["escrow"].values()) for claim in mine)
            sums = self.sums.get(key, [0] * 5)
            found.append([key, self.vested.get(key, 0), held, *sums, sum(map(self.ripe, mine)) - owes])
        return found


def play(story: dict[str, Any]) -> list[dict[str, Any]]:
    """What each cut of a story leaves, and why records of it do not count."""
    second, found = Second(story["tariff"]), []
    for cut in story["cuts"]:
        refused = second.cut(cut)
        found.append({"rows": second.rows(), "refused": refused})
    return found
