"""`network shapes` writes what clients ask for, and `network new --shapes` puts it into the contract."""

import json
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner, Result

from p2pverify.cli.errors import CliError
from p2pverify.cli.main import main
from p2pverify.cli.setup.shapes import check_room
from p2pverify.core.contract.shapes import RequestShape
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.engine.language import toy_language
from p2pverify.engine.toy import ToyEngine
from p2pverify.node.clients.book import KeptReceipt
from p2pverify.node.files.home import Home
from p2pverify.node.files.networkfile import dump_network, load_network, new_network
from p2pverify.store.clients.receipts import StoredReceipts

VECTORS = Path(__file__).parents[3] / "protocol" / "vectors" / "client-receipt" / "valid.json"
RECEIPT = json.loads(json.loads(VECTORS.read_text(encoding="utf-8"))[0]["input"]["receipt"])
FOUNDER = peer_id(sign.public_key(bytes(32)))
FRAME = sum(map(len, toy_language().frame()))
TABLE = "shapes = [[5, 9, 10, 0, 0, 1000], [3, 1, 8, 16, 16, 0]]"


def p2pverify(home: Path, *args: str) -> Result:
    return CliRunner().invoke(main, ["--home", str(home), *args])


def remember(home: Path, requests: Sequence[tuple[int, int, int]]) -> None:
    """A home with the receipts of such requests: length of the user's turn, max_tokens, and temperature times 1000."""
    made, manifests = new_network("mine", [sign.public_key(bytes(32))], ToyEngine().info, genesis_ms=1)
    home.mkdir()
    Home(home).network_path.write_text(dump_network(made, manifests), encoding="utf-8")
    book = StoredReceipts(Home(home).clients_path)

    async def keep() -> None:
        for number, (prompt, most, heat) in enumerate(requests):
            asked: dict[str, object] = {"manifest": made.manifests[0].hex(), "prompt": [7] * (prompt + FRAME)}
            asked |= {"tokens_max": most, "temperature_milli": heat}
            answers = [{**one, "question": {**one["question"], **asked}} for one in RECEIPT["answers"]]
            document = {**RECEIPT, "id": f"rcpt_{number}", "answers": answers}
            await book.keep(KeptReceipt(document["id"], "local", json.dumps(document).encode()))
        await book.keep(KeptReceipt("damaged", "local", b"{}"))

    trio.run(keep)


def test_a_table_of_the_requests_of_clients(tmp_path: Path) -> None:
    """Each question counts once, however many peers answered it. A damaged receipt counts for nothing."""
    remember(tmp_path / "home", [(9, 1024 - 9 - FRAME, 1000)] * 3 + [(20, 16, 700)] * 2)
    target = tmp_path / "shapes.toml"
    done = p2pverify(tmp_path / "home", "network", "shapes", "--least", "2", "-o", str(target))
    assert done.exit_code == 0, done.output
    assert "2 rows for 5 requests" in done.output
    rows = tomllib.loads(target.read_text(encoding="utf-8"))["shapes"]
    assert rows == [[600, 9, 10, 0, 0, 1000], [400, 17, 20, 16, 16, 700]]
    again = p2pverify(tmp_path / "home", "network", "shapes", "--least", "2", "-o", str(target))
    assert again.exit_code != 0
    assert "--force" in again.output


def test_few_requests_make_no_table(tmp_path: Path) -> None:
    remember(tmp_path / "home", [(9, 16, 700)])
    done = p2pverify(tmp_path / "home", "network", "shapes", "-o", str(tmp_path / "shapes.toml"))
    assert done.exit_code == 1
    assert "receipts of 1 answered requests, and a row stands for at least 20" in done.output
    assert not (tmp_path / "shapes.toml").exists()


def test_a_table_is_for_the_context_of_the_engine() -> None:
    """The longest prompt in its template, and the longest answer, are for one engine."""
    good, _ = new_network("n", [sign.public_key(bytes(32))], ToyEngine().info, shapes=(RequestShape(1, 1, 8, 0, 0, 0),))
    check_room(good.params, 1024)
    check_room(replace(good.params, shapes=()), 64)
    wide = replace(good.params, shapes=(RequestShape(1, 1, 256, 1, 1024, 0),))
    check_room(wide, 1344)
    with pytest.raises(CliError, match="asks for 1344 tokens of prompt and answer, and the engine holds 1343"):
        check_room(wide, 1343)


def new(folder: Path, table: str, *options: str) -> Result:
    (folder / "shapes.toml").write_text(table, encoding="utf-8")
    file = ("--shapes", str(folder / "shapes.toml"), "-o", str(folder / "network.toml"))
    return p2pverify(folder / "home", "network", "new", "--engine", "toy", "--founder", FOUNDER, *file, *options)


def test_a_network_with_a_table(tmp_path: Path) -> None:
    """The order of the rows does not matter. The words say what it costs, and 'network show' has the rows."""
    done = new(tmp_path, TABLE, "--long-permille", "0")
    assert done.exit_code == 0, done.output
    table = (RequestShape(3, 1, 8, 16, 16, 0), RequestShape(5, 9, 10, 0, 0, 1000))
    assert load_network(tmp_path / "network.toml")[0].params.shapes == table
    assert "at most 640 tokens on average, 13 times as many as by the usual rules (48)" in done.output
    assert "62% of the audits are long" in done.output
    shown = p2pverify(tmp_path / "home", "network", "show", str(tmp_path / "network.toml"))
    assert "9-10" in shown.output
    assert "open" in shown.output
    as_json = p2pverify(tmp_path / "home", "network", "show", str(tmp_path / "network.toml"), "--json")
    assert json.loads(as_json.output)["shapes"][0]["answer_to"] == 16


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (TABLE, ("--epoch-ms", "5000"), "a slow machine needs 51 s for the longest answer"),
        ("shapes = []", (), "shapes: empty"),
        ("shapes = [[-1, 1, 8, 16, 16, 0]]", (), "a number is negative"),
        ("shapes = [[1, 1, 8, 16, 0, 0]]", (), "ends before it begins"),
        ("shapes = [[1, 1, 8, 16, 16]]", (), "key 'shapes[1]': it has not 6 items"),
        ("shapes = [[1, 1, 8, 16, 16, true]]", (), "it is not a whole number"),
        ("shape = [[1, 1, 8, 16, 16, 0]]", (), "unknown key 'shape'"),
    ],
)
def test_tables_that_do_not_fit(table: str, options: tuple[str, ...], message: str, tmp_path: Path) -> None:
    """The message says why, and nothing is written."""
    done = new(tmp_path, table, *options)
    assert done.exit_code == 1, done.output
    assert message in done.output
    assert not (tmp_path / "network.toml").exists()
