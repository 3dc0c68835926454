"""The shelf of engines: which engine does a job of which model, and when engines of later versions are closed."""

import threading

import pytest

from p2pverify.core.events import OWN, REFEREE
from p2pverify.node.engines.referee import Referee
from p2pverify.node.engines.refusals import ModelUnavailable
from p2pverify.node.engines.shelf import VERSIONS_KEPT, Shelf
from tests.node.fakes import FakeEngine

FIRST, *LATER = (bytes([number]) * 32 for number in range(VERSIONS_KEPT + 3))


class Closing(FakeEngine):
    def __init__(self, role: str, model: bytes) -> None:
        super().__init__()
        self.name = (role, model)
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


class Bench:
    def __init__(self) -> None:
        self.own, self.referee = Closing(OWN, FIRST), Closing(REFEREE, FIRST)
        self.opened: list[Closing] = []
        self.shelf = Shelf(self.own, FIRST, Referee(lambda: self.referee), self._open)

    def _open(self, role: str, model: bytes) -> Closing:
        self.opened.append(Closing(role, model))
        return self.opened[-1]

    def open_names(self) -> list[tuple[str, bytes]]:
        return [engine.name for engine in self.opened if not engine.closed]


def test_each_job_gets_the_engine_of_its_role_and_model() -> None:
    """The first engines are those that the node opened. Others are opened once, by their first job."""
    bench = Bench()
    for role, model in [(OWN, FIRST), (REFEREE, FIRST), (OWN, LATER[0]), (REFEREE, LATER[0]), (OWN, LATER[0])]:
        with bench.shelf.use(role, model) as engine:
            assert isinstance(engine, Closing)
            assert engine.name == (role, model)
    assert [engine.name for engine in bench.opened] == [(OWN, LATER[0]), (REFEREE, LATER[0])]


def test_the_least_recently_used_version_is_closed() -> None:
    """Each role keeps its own. An engine in use stays open until its job ends."""
    bench = Bench()
    with bench.shelf.use(OWN, LATER[0]):
        for model in LATER:
            with bench.shelf.use(OWN, model):
                pass
        with bench.shelf.use(REFEREE, LATER[0]):
            pass
        assert (OWN, LATER[0]) in bench.open_names()
    assert bench.open_names().count((REFEREE, LATER[0])) == 1
    assert len([name for name in bench.open_names() if name[0] == OWN]) <= VERSIONS_KEPT + 1
    bench.shelf.close()
    assert bench.open_names() == []
    assert [engine.closed for engine in (bench.own, bench.referee)] == [0, 0]
    assert all(engine.closed == 1 for engine in bench.opened)


def test_two_threads_open_one_engine() -> None:
    bench = Bench()
    barrier = threading.Barrier(2)

    def work() -> None:
        barrier.wait(10)
        with bench.shelf.use(OWN, LATER[0]):
            pass

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(bench.opened) == 1


def test_without_versions_others_are_refused() -> None:
    shelf = Shelf(FakeEngine(), FIRST, Referee(None), None)
    with pytest.raises(ModelUnavailable), shelf.use(OWN, LATER[0]):
        pass
