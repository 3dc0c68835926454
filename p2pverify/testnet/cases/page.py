"""The report of a case study as one HTML page that needs nothing else: context, method, results, discussion.

Every text is escaped, and there are no scripts. Numbers come from the facts of the run.
"""

from collections.abc import Iterable, Sequence
from html import escape

from p2pverify.testnet.cases.facts import CaseFacts, PeerFacts
from p2pverify.testnet.cases.plots import bars_plot, lines_plot
from p2pverify.testnet.cases.study import CaseText
from p2pverify.testnet.cases.tables import (
    ACCOUNT_HEAD,
    MILLION,
    PEER_HEAD,
    ROUND_HEAD,
    VERSION_HEAD,
    account_rows,
    money,
    peer_rows,
    round_rows,
    version_rows,
)

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1c1c1c; background: #fff; max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.2rem; border-bottom: 1px solid #ddd; }
.question { font-size: 1.15rem; color: #444; }
.verdict { padding: .6rem .9rem; border-left: 6px solid #2f8f4e; background: #f1f8f3; }
.verdict.fail { border-color: #b03030; background: #fbf1f1; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid #e4e4e4; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
tr.cheat td { background: #fdf4ee; } .no { color: #b03030; font-weight: 600; } .yes { color: #2f7d45; }
figure { margin: 1.2rem 0; } figcaption { font-weight: 600; margin-bottom: .3rem; }
svg { max-width: 100%; height: auto; border: 1px solid #eee; }
svg .grid { stroke: #ececec; } svg .axis { stroke: #888; } svg .mark { stroke: #888; stroke-dasharray: 5 4; }
svg .small { font: 11px system-ui, sans-serif; fill: #555; }
code { font-size: .85em; overflow-wrap: anywhere; } .key { color: #555; font-size: .9rem; }
"""
_CHEATS = {
    "unpaid": "Its updates do not help on the rows of others, so they earn next to nothing.",
    "uncounted": "Its updates break a rule of rounds, so every member leaves them out.",
    "late": "Its updates are right, and they come late.",
    "shown": "The other party did not sign, so the trace shows the word of one alone.",
    "convicted": "Others have computed the same and got something else, again and again, until the test was sure.",
}


def page(facts: CaseFacts, text: CaseText, seconds: float) -> str:
    """The page."""
    state = "pass" if facts.passes else "fail"
    failed = [check.what for check in facts.checks if not check.holds]
    verdict = "Everything came out as listed below." if facts.passes else "Not as expected: " + "; ".join(failed) + "."
    body = [
        f"<h1>{escape(text.title)}</h1>",
        f'<p class="question">{escape(text.question)}</p>',
        f'<p class="verdict {state}"><b>{state}</b> after {seconds:.0f} s. {escape(verdict)}</p>',
        "<h2>In short</h2>",
        _list(_short(facts)),
        "<h2>Context</h2>",
        *_paragraphs(text.context),
        "<h2>Method</h2>",
        *_paragraphs(text.method),
        f'<p class="key">{escape(_setting(facts))}</p>',
        "<h2>Results</h2>",
        _model_plot(facts),
        "<h3>Peers</h3>",
        _table(PEER_HEAD, peer_rows(facts), [peer.cheat is not None for peer in facts.peers]),
        f'<p class="key">{escape(_PEER_KEY)}</p>',
        _credit_plot(facts),
        "<h3>Rounds</h3>",
        _table(ROUND_HEAD, round_rows(facts)),
        f'<p class="key">{escape(_ROUND_KEY)}</p>',
        "<h3>Versions of the model</h3>",
        _table(VERSION_HEAD, version_rows(facts)),
        *_money_part(facts),
        *_privacy_part(facts),
        "<h3>What happened</h3>",
        _list(f"Epoch {event.epoch}: {event.what}." for event in facts.events),
        "<h3>The verdict in detail</h3>",
        _checks(facts),
        "<h2>Discussion</h2>",
        *_paragraphs(text.discussion),
        "<h2>Check it yourself</h2>",
        f"<p>{_evidence(facts)}</p>",
    ]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head += f"<title>{escape(text.title)}</title><style>{_STYLE}</style>"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{"".join(body)}</body></html>\n'


_PEER_KEY = (
    "CREDIT is a peer's part of all credit above 0: by how much its updates lowered the loss on the shown rows of the "
    "others. ON TIME counts the rounds in which its seal was in the first cut. Shaded peers cheat; only the runner "
    "knew that beforehand."
)
_ROUND_KEY = (
    "GAIN is by how much the round lowered the loss on the shown rows, in thousandths of a nat. A round without a gain "
    "keeps the version before it. AUC is measured on rows that no peer holds."
)


def _short(facts: CaseFacts) -> list[str]:
    """Who cheated, who was paid, and how good the model is: one sentence each."""
    decided = sum(one.decided for one in facts.rounds)
    found = [
        f"The model's AUC went from {facts.start:.3f} to {facts.versions[-1].auc:.3f} in {decided} rounds.",
        f"One honest contributor alone gets an AUC of {facts.alone:.3f} on average by the same rule.",
        f"A regression over all rows together gets {facts.central:.3f}.",
    ]
    found += [_cheater(peer) for peer in facts.peers if peer.cheat is not None]
    honest = [peer for peer in facts.peers if peer.cheat is None and peer.rows]
    if facts.unit is None:
        shares = ", ".join(f"{peer.name} {peer.share:.0%}" for peer in honest)
        found.append(f"The credit went to the honest contributors: {shares}.")
    else:
        paid = ", ".join(f"{peer.name} {money(peer.paid)}" for peer in honest)
        found.append(f"The honest contributors were paid for training, in {facts.unit}: {paid}.")
    convicted = sum(peer.standing == "convicted" for peer in facts.peers if peer.cheat is None)
    found.append(f"Honest peers that were convicted: {convicted or 'none'}.")
    return found


def _cheater(peer: PeerFacts) -> str:
    why = _CHEATS.get(peer.expected or "", "")
    note = f" In this run: {peer.note}." if peer.note else ""
    credit = f", and has {peer.share:.1%} of the credit" if peer.rows else ""
    return f"{peer.name} ({peer.role}) cheated: {peer.cheat}. It is {peer.standing}{credit}. {why}{note}"


def _setting(facts: CaseFacts) -> str:
    return (
        f"{facts.rows} rows of {facts.features} features ({facts.data}, {facts.licence}); {facts.test_rows} of them "
        f"are held by no peer. Trainer {facts.trainer}, {facts.mode}. {len(facts.peers)} processes, epochs of "
        f"{facts.epoch_ms / 1000:g} s, seed {facts.seed}."
    )


def _model_plot(facts: CaseFacts) -> str:
    xs = [0, *(one.number for one in facts.rounds)]
    aucs = [facts.start, *(one.auc for one in facts.rounds)]
    marks = (("one contributor alone (mean)", facts.alone), ("all rows together, in floats", facts.central))
    return lines_plot("AUC after each round, on rows that no peer holds", xs, [("the model", aucs)], marks)


def _credit_plot(facts: CaseFacts) -> str:
    owners = [peer for peer in facts.peers if peer.rows]
    names, values = [peer.name for peer in owners], [100 * peer.share for peer in owners]
    return bars_plot("Credit, in percent of all; cheaters are orange", names, values, [bool(p.cheat) for p in owners])


def _money_part(facts: CaseFacts) -> list[str]:
    if not facts.accounts:
        return []
    unit = facts.unit or ""
    names = [one.name for one in facts.accounts]
    cheats = {peer.name for peer in facts.peers if peer.cheat is not None}
    have = [one.total / MILLION for one in facts.accounts]
    return [
        "<h3>Accounts</h3>",
        _table(ACCOUNT_HEAD, account_rows(facts)),
        f'<p class="key">All in {escape(unit)}. Nothing is minted: the sum is 0. Who is below 0 owes the others.</p>',
        bars_plot(f"What each account has, in {unit}, escrow included", names, have, [n in cheats for n in names]),
    ]


def _privacy_part(facts: CaseFacts) -> list[str]:
    owners = [peer for peer in facts.peers if peer.eps is not None]
    if not owners:
        return []
    head = ("PEER", "EPS SPENT", "EPS BUDGET", "UPDATES COUNTED", "UPDATES SEALED")
    rows = [(one.name, f"{one.eps:.2f}", f"{one.eps_budget:.2f}", str(one.counted), str(one.sealed)) for one in owners]
    return ["<h3>Privacy budgets</h3>", _table(head, rows, [one.cheat is not None for one in owners])]


def _checks(facts: CaseFacts) -> str:
    rows = "".join(
        f'<tr><td class="{"yes" if check.holds else "no"}">{"yes" if check.holds else "no"}</td>'
        f"<td>{escape(check.what)}</td><td>{escape(check.found)}</td></tr>"
        for check in facts.checks
    )
    return f'<div class="wide"><table><tr><th>HOLDS</th><th>WHAT</th><th>FOUND</th></tr>{rows}</table></div>'


def _evidence(facts: CaseFacts) -> str:
    said, ledger = "accepted" if facts.ledger.verified else "refused", facts.ledger
    return (
        f"All figures of peers, rounds and accounts follow from the ledger of network "
        f"<code>{escape(facts.network)}</code>: {ledger.records} signed records up to cut "
        f"<code>{escape(ledger.cut)}</code> of epoch {ledger.epoch}. <code>p2pverify ledger verify</code> {said} an "
        f"honest peer's export of it. With <code>--keep DIR</code> the export, the network file and the homes of all "
        f"peers stay in a directory."
    )


def _paragraphs(texts: Sequence[str]) -> list[str]:
    return [f"<p>{escape(text)}</p>" for text in texts]


def _list(items: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], shaded: Sequence[bool] = ()) -> str:
    lines = [f"<tr>{''.join(f'<th>{escape(name)}</th>' for name in head)}</tr>"]
    for place, row in enumerate(rows):
        kind = ' class="cheat"' if place < len(shaded) and shaded[place] else ""
        lines.append(f"<tr{kind}>{''.join(map(_cell, row))}</tr>")
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def _cell(text: str) -> str:
    is_number = text[:1].isdigit() or text[:1] == "-"
    return f'<td class="number">{escape(text)}</td>' if is_number else f"<td>{escape(text)}</td>"
