"""The table of engines and what is keyed by it: openers, referees, choices, and the settings that name a kind."""

from typing import get_args

import pytest

from p2pverify.engine import exact, tabular, toy
from p2pverify.engine.errors import EngineUnavailable
from p2pverify.engine.openai import engine as openai_engine
from p2pverify.engine.registry import OPENERS, open_engine, open_referee
from p2pverify.node.engines.kinds import (
    ALL_KINDS,
    ENGINES,
    FOUNDING_KINDS,
    LOCAL_KINDS,
    REFEREES,
    EngineKind,
    is_referee,
    referee_for,
    referees_for,
)
from p2pverify.node.files.config import TEMPLATE
from p2pverify.testnet.capacity.load import load_of


def test_every_kind_has_a_row_and_an_opener():
    """A kind that is added to the names only is missed here; config.toml explains each."""
    assert set(get_args(EngineKind)) == set(ENGINES) == set(OPENERS)
    assert all(f'"{kind}"' in TEMPLATE for kind in ALL_KINDS)


def test_what_commands_offer():
    """Testnets know what each engine costs that they may run, and those that found networks are among them."""
    assert FOUNDING_KINDS == ("llama", "toy", "tabular")
    assert LOCAL_KINDS == ("llama", "exact", "toy", "tabular")
    assert all(load_of(kind).start_s > 0 and ENGINES[kind].paths for kind in FOUNDING_KINDS)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_every_engine_has_a_judge(kind):
    """Its kind can be opened as a referee, and its id begins as ids of that kind do."""
    judge = ENGINES[kind].judge
    assert REFEREES[referee_for(kind)] == judge
    assert referee_for(kind).startswith(ENGINES[judge].prefix)


def test_ids_begin_as_the_table_says():
    """A class names an engine by its id, and the kind that can serve it is found by the beginning."""
    assert exact.engine.ENGINE.startswith(ENGINES["exact"].prefix)
    assert tabular.engine.ENGINE.startswith(ENGINES["tabular"].prefix)
    assert openai_engine.ENGINE.startswith(ENGINES["openai"].prefix)
    assert open_engine("toy").info.engine.startswith(ENGINES["toy"].prefix)
    assert (referee_for("toy"), referee_for("exact")) == (toy.REFEREE, exact.engine.ENGINE)
    assert open_referee(toy.REFEREE).info.engine == toy.REFEREE


def test_a_server_must_be_named():
    """The only engine that is elsewhere."""
    with pytest.raises(EngineUnavailable, match="no server is named"):
        open_engine("openai")


def test_a_language_model_has_two_referees():
    """Exact arithmetic is usual, because every machine has it; llama.cpp knows more models."""
    assert referees_for("llama") == referees_for("openai") == ("exact/1", ENGINES["llama"].referee)
    assert (referees_for("toy"), referees_for("tabular")) == ((toy.REFEREE,), (tabular.engine.ENGINE,))
    assert all(is_referee(referee, referee, ENGINES[kind].referee_path) for referee, kind in REFEREES.items())
