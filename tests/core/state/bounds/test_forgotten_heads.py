"""Cuts that lack the head of an author that the path has forgotten: they are nested, and nobody is convicted."""

from dataclasses import replace

from p2pverify.core.records.payloads.cut import Cut, Head
from p2pverify.core.replica.fold import Fold
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.replica.states import States
from p2pverify.core.state.memory import forget
from p2pverify.core.state.rows import JOIN_EPOCHS
from p2pverify.core.state.state import State, genesis
from p2pverify.core.state.transition import Frame, Transition, class_steps
from tests.support.networks import make_network, seeds
from tests.support.steps import Steps, key

NETWORK = make_network(seeds(4, "forgotten"))
GONE, HERE = sorted((key("gone"), key("here")))


def heads(**seqs: int) -> dict[bytes, Head]:
    named = {"gone": GONE, "here": HERE}
    return {named[name]: (named[name], seq, bytes(32)) for name, seq in seqs.items()}


def on(base: State, name: str, known: dict[bytes, Head]) -> State:
    return base.successor(key(name), base.epoch + 1, known)


def is_nested(inner: Cut, outer: Cut, *path: tuple[State, Cut | None]) -> bool:
    """Whether two cuts beside a path are nested for a step on top of the path, whose cuts are given with it."""
    last = path[-1][0]
    state = on(last, "step", {})
    state.cuts = {b"inner": inner, b"outer": outer, **{each.id: made for each, made in path if made is not None}}
    frame = Frame(lambda cuts: [None] * len(cuts))
    step = Transition(NETWORK, NETWORK.id, last, state, frame, class_steps(NETWORK))
    return step.is_nested(b"inner", b"outer")


def cut(base: State, **seqs: int) -> Cut:
    return Cut(
        base.epoch + 1, base.id, bytes(32), bytes(80), tuple(heads(**seqs).values()), bytes(32), bytes(32), bytes(32)
    )


def test_who_signed_a_cut_before_the_path_forgot_an_author_may_sign_on() -> None:
    """The first cut stood beside the one that forgot the author, so the signer could not know."""
    base = on(genesis(NETWORK), "base", heads(gone=3, here=1))
    later = on(base, "later", heads(here=2))
    later.forgotten[GONE] = later.index
    path = (base, None), (later, cut(base, here=2))
    assert is_nested(cut(base, here=2), cut(later, here=3), *path)
    assert is_nested(cut(base, gone=4, here=2), cut(later, here=3), *path)


def test_who_leaves_out_an_author_that_the_path_has_not_forgotten_is_not_excused() -> None:
    base = on(genesis(NETWORK), "base", heads(here=1))
    later = on(base, "later", heads(here=2))
    path = (base, None), (later, cut(base, here=2))
    assert not is_nested(cut(base, gone=0), cut(later, here=3), *path)  # a new author
    assert not is_nested(cut(base, here=3), cut(later), *path)  # an author that is still there
    assert is_nested(cut(base, here=2), cut(later), *path)  # the path has moved as far
    newer = on(base, "newer", heads(gone=0, here=2))
    path = (base, None), (newer, cut(base, gone=0, here=2))
    assert not is_nested(cut(newer, here=3), cut(base, here=4), *path)  # the path took it in later
    base.forgotten[GONE] = base.index
    path = (base, None), (on(base, "later", heads(here=2)), cut(base, here=2))
    assert not is_nested(cut(base, gone=0), cut(later, here=3), *path)  # it was forgotten before


def test_cuts_of_which_the_path_remembers_too_little_convict_nobody() -> None:
    base = on(genesis(NETWORK), "base", heads(here=1))
    later = on(base, "later", heads(here=2))
    assert is_nested(cut(base, here=3), cut(later), (base, None), (later, None))


def logs() -> tuple[Steps, Fold]:
    """A ledger with some records of both authors, and the states of a path by hand."""
    steps, ledger = Steps(NETWORK), Ledger()
    for author in (GONE, HERE):
        for _ in range(4):
            steps.sign(author, bytes(32))
    for record in steps.waiting:
        ledger.add(record)
    return steps, Fold(NETWORK, ledger)


def test_a_cut_contains_one_whose_author_was_forgotten_since() -> None:
    """Otherwise a member that signed a cut beside the path could not sign for long, although it did nothing wrong."""
    steps, fold = logs()
    ids = {(record.author, record.seq): record.id for record in steps.waiting}

    def at(**seqs: int) -> dict[bytes, Head]:
        return {author: (author, head[1], ids[author, head[1]]) for author, head in heads(**seqs).items()}

    base = on(genesis(NETWORK), "base", at(gone=1, here=1))
    beside = on(base, "beside", at(gone=2, here=2))
    forgets = on(base, "forgets", at(here=2))
    forgets.forgotten[GONE] = forgets.index
    later = on(forgets, "later", at(here=3))
    assert fold.contains(later, beside)
    assert fold.contains(later, base)
    assert not fold.contains(beside, later)
    later.forgotten[GONE] = base.index  # now the author is a new one that only the cut beside the path took in
    assert not fold.contains(later, beside)


def test_a_provisional_state_takes_in_only_authors_that_a_cut_could() -> None:
    """Its log must have begun lately for the base of the cut, so a forgotten author never comes back."""
    steps, ledger = Steps(NETWORK), Ledger()
    steps.join(GONE)
    steps.sign(HERE, bytes(32))
    for record in steps.waiting:
        ledger.add(record)
    states = States(NETWORK, ledger)
    first = ledger.at(GONE, 0)
    assert first is not None
    states.latest = replace(states.genesis, epoch=first.epoch + JOIN_EPOCHS - 1)
    assert states.provisional(0).members.keys() == {*NETWORK.founders, GONE}
    assert states.provisional(0).heads.keys() == {GONE}
    states.latest = replace(states.genesis, epoch=first.epoch + JOIN_EPOCHS)
    assert states.provisional(0).heads.keys() == set()


def test_a_cut_whose_base_is_forgotten_convicts_nobody_and_certifies_nothing() -> None:
    """An author that is convicted keeps no proposals, so a cut on top of one can outlive its base."""
    base = on(genesis(NETWORK), "base", heads(here=1))
    later = on(base, "later", heads(here=2))
    gone = Cut(3, key("gone base"), bytes(32), bytes(80), (), bytes(32), bytes(32), bytes(32))
    path = (base, None), (later, cut(base, here=2))
    assert is_nested(gone, cut(base, here=3), *path)
    assert is_nested(cut(base, here=3), gone, *path)
    later.cuts = {b"outer": gone}
    later.beside = {b"outer": base.as_past()}
    forget(later, NETWORK.params)
    assert later.beside == {b"outer": None}
