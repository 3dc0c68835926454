"""Can a peer tell a challenge from other requests? A classifier is trained to; its AUC is 0.5 if it cannot.

    python -m tests.bench.challenges.bench_auc [--blocks 8] [--human FILE] [--shapes door] [--seed 1] [--json FILE]

Challenges come from the real machines, with prompts that the bundled model writes. They are told from

- cover with prompts of a corpus, and cover that the model writes (`node/cover.py`, the real code);
- clients' requests through the door: single human messages in the model's template, with the contract's lengths and
  temperatures, with those of the door for clients that name none, and with those that users choose for themselves. No
  client has been observed: their times and choices are a model.

With `--shapes` the network has a table of shapes. `network shapes` would write it from requests of clients with the
door's shapes, or with those that users choose. These requests have other texts than the measured ones.

"metadata" is all but the prompt's content, "no length" the same without the prompt's length, "text" its characters and
tokens alone, "two" what two peers know who compare notes: metadata, and whether and when the other was asked the same.
Human prompts are a file of one a line, by default the questions of chatterbot-corpus (BSD licence), if that is
installed. Takes half a minute of one core for each block.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from p2pverify.cli.table import table
from p2pverify.engine.registry import open_engine
from p2pverify.node.files.corpus import Prompt, read_corpus
from tests.bench.challenges.classify import Floats, auc, binned, fixed, grams, held_out, interval, joined
from tests.bench.challenges.collect import RULES, Seen, observed, ordinary, record

TARGET = 0.55
COLUMNS = ("no length", "metadata", "text", "both", "two")
EPOCH_MS = RULES["epoch_ms"]
Figure = tuple[float, float, float]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=8, help="of four epochs with about 48 questions each")
    parser.add_argument("--human", type=Path, help="human prompts, one a line")
    parser.add_argument("--shapes", choices=("door", "free"), help="the traffic from which the table is made")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, dest="json_file")
    given = parser.parse_args()
    texts = [prompt.text for prompt in read_corpus(given.human)] if given.human else bundled_questions()
    engine = open_engine("llama")
    room = RULES["prompt_tokens"] + len(engine.encode_chat(""))
    texts = sorted({text for text in texts if len(engine.encode_chat(text)) <= room})
    dice = np.random.default_rng(given.seed)
    halves = [list(half) for half in np.array_split(dice.permutation(texts), 2)]
    corpus = [str(text) for text in halves[0]]
    shapes = () if given.shapes is None else observed(engine, corpus, given.seed, shape=given.shapes)
    for shape in shapes:
        print(shape)
    recorded = record(engine, given.blocks, [Prompt(text) for text in corpus], given.seed, shapes)
    challenges = recorded.pop("challenge")
    people = [str(text) for text in halves[1]]
    others = {
        "cover, corpus": recorded["corpus"],
        "cover, model": recorded["model"],
        **{
            f"clients, {shape}": ordinary(engine, challenges, people, len(challenges), given.seed, shape=shape)
            for shape in ("contract", "door", "free")
        },
    }
    engine.close()
    rows, document = [], {}
    for name, requests in others.items():
        found = tell_apart(challenges, requests, dice)
        document[name] = found
        counts = (len({s.question.id for s in challenges}), len({s.question.id for s in requests}))
        rows.append((name, *counts, *(_shown(found[what]) for what in COLUMNS)))
    print(f"AUC of challenges against other requests, with 95 % intervals; target at most {TARGET}")
    print(table(("AGAINST", "CHALLENGES", "OTHERS", *(name.upper() for name in COLUMNS)), rows))
    if given.json_file is not None:
        given.json_file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


def bundled_questions() -> list[str]:
    """The first questions of users in the English conversations of chatterbot-corpus."""
    spec = find_spec("chatterbot_corpus")
    if spec is None or spec.origin is None:
        sys.exit("chatterbot-corpus is not installed: give --human FILE, a text file with a human prompt a line")
    import yaml

    found = set()
    for path in sorted((Path(spec.origin).parent / "data" / "english").glob("*.yml")):
        for conversation in yaml.safe_load(path.read_text(encoding="utf-8"))["conversations"]:
            found.add(" ".join(str(conversation[0]).split()))
    return sorted(text for text in found if len(text.split()) > 2)


def tell_apart(challenges: Sequence[Seen], others: Sequence[Seen], dice: np.random.Generator) -> dict[str, Figure]:
    """The AUC and its interval, by the classifier's knowledge."""
    everything = [*challenges, *others]
    of_requester = _by_requester(everything)
    one = [_one_each(kind, dice) for kind in (challenges, others)]
    size = min(len(kind) for kind in one)
    one = [[kind[at] for at in dice.permutation(len(kind))[:size]] for kind in one]
    seen = [*one[0], *one[1]]
    labels = np.r_[np.ones(size), np.zeros(size)]
    groups = [each.question.id for each in seen]
    metadata = binned(np.array([_metadata(each, of_requester) for each in seen]))
    text = fixed(grams([each.text for each in seen], [each.question.prompt for each in seen]))
    shapeless = binned(np.array([_metadata(each, of_requester, with_length=False) for each in seen]))
    parts = {"no length": shapeless, "metadata": metadata, "text": text, "both": joined(metadata, text)}
    found = {}
    for name, features in parts.items():
        scores = held_out(features, labels, groups, dice)
        found[name] = (auc(scores, labels), *interval(scores, labels, dice))
    found["two"] = _compare_notes(challenges, others, of_requester, dice)
    return found


def _compare_notes(
    challenges: Sequence[Seen],
    others: Sequence[Seen],
    of_requester: dict[tuple[bytes, bytes], list[int]],
    dice: np.random.Generator,
) -> Figure:
    """The combined knowledge of the two peers with the lowest keys about each question that reached one of them."""
    pair = sorted({each.responder for each in challenges})[:2]
    rows, labels, groups = [], [], []
    for label, kind in ((1, challenges), (0, others)):
        questions: dict[bytes, list[Seen]] = {}
        for each in kind:
            if each.responder in pair:
                questions.setdefault(each.question.id, []).append(each)
        for question, found in questions.items():
            times = [each.at_ms for each in found]
            notes = [len(found), max(times) - min(times)]
            rows.append([*_metadata(min(found, key=lambda each: each.at_ms), of_requester), *notes])
            labels.append(label)
            groups.append(question)
    known = np.array(labels, dtype=float)
    scores = held_out(binned(np.array(rows, dtype=float)), known, groups, dice)
    return (auc(scores, known), *interval(scores, known, dice))


def _by_requester(requests: Sequence[Seen]) -> dict[tuple[bytes, bytes], list[int]]:
    """The times at which each requester asked each responder, for any purpose."""
    times: dict[tuple[bytes, bytes], list[int]] = {}
    for each in requests:
        times.setdefault((each.request.requester, each.responder), []).append(each.at_ms)
    return {pair: sorted(found) for pair, found in times.items()}


def _metadata(
    seen: Seen, of_requester: dict[tuple[bytes, bytes], list[int]], *, with_length: bool = True
) -> list[float]:
    """Everything that a responder sees except the content: time, shape, and the requester's earlier questions."""
    before = [at for at in of_requester[seen.request.requester, seen.responder] if at < seen.at_ms]
    return [
        seen.at_ms % EPOCH_MS,
        seen.question.tokens_max,
        seen.question.temperature_milli,
        len(seen.question.prompt) if with_length else 0,
        seen.expires_in,
        sum(at >= seen.at_ms - EPOCH_MS for at in before),
        seen.at_ms - before[-1] if before else 10**9,
        int.from_bytes(seen.request.nonce, "big").bit_count(),
        int.from_bytes(seen.question.seed, "big").bit_count(),
        seen.question.seed[0],
        seen.request.nonce[0],
    ]


def _one_each(requests: Sequence[Seen], dice: np.random.Generator) -> list[Seen]:
    """One request of each question, because a peer that does not collude sees no other."""
    by_question: dict[bytes, list[Seen]] = {}
    for each in requests:
        by_question.setdefault(each.question.id, []).append(each)
    return [found[int(dice.integers(len(found)))] for found in by_question.values()]


def _shown(figure: Figure) -> str:
    return f"{figure[0]:.3f} ({figure[1]:.2f}-{figure[2]:.2f})"


__all__ = ["Floats", "main", "tell_apart"]

if __name__ == "__main__":
    sys.exit(main())
