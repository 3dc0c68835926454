"""`settle` reads a verified ledger: accounts, their movements, transfers, and files for other programs."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from p2pverify.cli.main import main
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.events import WriteRecord
from p2pverify.core.records.envelope import Kind
from p2pverify.store.exportfile import ExportHeader, write_export
from p2pverify.testnet.world import World
from tests.support.money import CLIENT, cheque_of, with_tariff
from tests.support.worlds import make_world

DEBTOR = peer_id(sign.public_key(CLIENT))


def write(path: Path, world: World) -> Path:
    machine = world.peers[0].machine
    header = ExportHeader(world.network.id, world.network.encode(), machine.fold.latest.id)
    with path.open("wb") as file:
        write_export(file, header, [record.data for record in machine.context.ledger.records()])
    return path


@pytest.fixture(scope="module")
def world() -> World:
    """Four founders whose pay vests quickly; a client has signed a cheque for the first one."""
    world = make_world(
        4, seed=7, contract=lambda usual: with_tariff(usual, vest_epochs=2, unit="EUR"), slots_milli=2000
    )
    world.run_epochs(4)
    machine = world.peers[0].machine
    made = cheque_of(world.network.id, machine.key, 1_400_000, 140)
    world.peers[0].feed(WriteRecord(9, Kind.CHEQUE, made.encode()))
    world.run_epochs(7)
    return world


@pytest.fixture(scope="module")
def ledger(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("settle") / "run.ledger", world)


def settle(ledger: Path, *args: str) -> Result:
    return CliRunner().invoke(main, ["settle", *args, "--ledger", str(ledger)])


def told(ledger: Path, *args: str) -> Any:
    done = settle(ledger, *args, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


def test_accounts_sum_to_0(ledger: Path, world: World) -> None:
    document = told(ledger)
    assert (document["sum"], document["unit"]) == (0, "EUR")
    peers = {one["peer"]: one for one in document["accounts"]}
    assert {peer_id(peer.machine.key) for peer in world.peers} | {DEBTOR, None} == set(peers)
    assert peers[DEBTOR]["claims"] == -1_400_000
    shown = settle(ledger)
    assert "-1.400000" in shown.output
    assert "sum of all accounts: 0.000000" in shown.output
    assert [one["peer"] for one in told(ledger, "--peer", DEBTOR)["accounts"]] == [DEBTOR]


def test_an_account_is_explained_to_the_last_movement(ledger: Path, world: World) -> None:
    """Of a member, of a client, and of the pool."""
    member = peer_id(world.peers[0].machine.key)
    for peer in (member, DEBTOR, "pool"):
        document = told(ledger, "explain", peer)
        for part in ("vested", "escrow", "claims"):
            moved = sum(one["amount"] for one in document["movements"] if one["part"] == part)
            assert document["account"][part] == document["before"][part] + moved
    reasons = {one["reason"] for one in told(ledger, "explain", member)["movements"]}
    assert {"answer", "audit", "vest", "dues", "cheque"} <= reasons
    (cheque,) = [one for one in told(ledger, "explain", DEBTOR)["movements"] if one["reason"] == "cheque"]
    assert world.peers[0].machine.context.ledger.get(bytes.fromhex(cheque["record"])) is not None
    shown = settle(ledger, "explain", member).output
    assert "slot 0 of epoch " in shown
    assert f"record {cheque['record'][:8]}" in shown


def test_transfers_make_all_even(ledger: Path) -> None:
    """What a client owes by cheques stays between it and its creditor."""
    accounts = {one["peer"]: one["vested"] for one in told(ledger)["accounts"]}
    transfers = told(ledger, "netting")["transfers"]
    left = {**accounts, None: -sum(amount for peer, amount in accounts.items() if peer is not None)}
    for one in transfers:
        if one["owed_by"] == "duties":
            left[one["debtor"]] += one["amount"]
            left[one["creditor"]] -= one["amount"]
    assert not any(left.values())
    (owed,) = [one for one in transfers if one["owed_by"] == "cheques"]
    assert (owed["debtor"], owed["amount"]) == (DEBTOR, 1_400_000)
    assert "1.400000" in settle(ledger, "netting").output


def test_other_programs_get_the_same(ledger: Path) -> None:
    document = told(ledger)
    assert json.loads(settle(ledger, "export", "--format", "json").output) == document
    rows = list(csv.DictReader(io.StringIO(settle(ledger, "export").output)))
    assert [row["peer"] for row in rows] == [one["peer"] or "" for one in document["accounts"]]
    assert sum(int(row[name]) for row in rows for name in ("vested", "escrow", "claims")) == 0
    transfers = list(csv.DictReader(io.StringIO(settle(ledger, "export", "--format", "netting").output)))
    assert [int(row["amount"]) for row in transfers] == [one["amount"] for one in told(ledger, "netting")["transfers"]]


def test_a_journal_has_every_movement_and_every_balance(ledger: Path) -> None:
    journal = settle(ledger, "export", "--format", "beancount").output
    for one in told(ledger)["accounts"]:
        for part in ("vested", "escrow", "claims") if one["peer"] else ():
            if one[part]:
                name = f"Assets:{one['peer']}:{part.capitalize()}"
                assert f" balance {name}  {one[part] / 1_000_000:.6f} ~ 0 EUR\n" in journal
    records = {one["record"] for one in told(ledger, "explain", DEBTOR)["movements"]}
    assert [record for record in records if f'"cheque" "record {record}"' not in journal] == []


def test_transfers_for_banks_bear_the_given_date(ledger: Path) -> None:
    args = ["settle", "export", "--format", "pain.001", "--ledger", str(ledger)]
    done = CliRunner().invoke(main, args, env={"SOURCE_DATE_EPOCH": "1796000000"})
    assert done.exit_code == 0
    assert "<CreDtTm>2026-11-30T00:53:20Z</CreDtTm>" in done.output
    assert f"<Nm>{DEBTOR}</Nm>" in done.output
    assert '<InstdAmt Ccy="EUR">1.40</InstdAmt>' in done.output
    assert CliRunner().invoke(main, args, env={"SOURCE_DATE_EPOCH": "now"}).exit_code == 2


def test_what_cannot_be_shown_is_said(ledger: Path, tmp_path: Path) -> None:
    done = settle(ledger, "--peer", "12D3")
    assert done.exit_code == 1
    assert "there is no account of 12D3" in done.output
    assert settle(ledger, "explain", "bob").exit_code == 2
    plain = make_world(3, seed=7)
    plain.run_epochs(3)
    done = settle(write(tmp_path / "plain.ledger", plain), "netting")
    assert done.exit_code == 1
    assert "this network has no tariff" in done.output
    data = bytearray(ledger.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "changed.ledger").write_bytes(data)
    assert settle(tmp_path / "changed.ledger").exit_code == 5
