"""Data between three real processes: who can show what, what others hold of it, and a node that dies.

It is no quick test, because three nodes make certified cuts of 1.5 s.
"""

import json
from pathlib import Path

from p2pverify.core.encoding.canon import sha256
from tests.cli.transcript import run
from tests.e2e.test_data_commands import LINED, SCHEMA, TABLE, bytes_below
from tests.e2e.test_identity import Lab, Node, lab

CONSENT = "Alice Example consents to study 12.\n"


def command(made: Lab, name: str, *args: str) -> dict:
    done = run(made.home(name), *args, "--json", cwd=made.folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def wait_ready(node: Node) -> None:
    node.until(lambda: not node.reasons)


def offered(node: Node) -> dict[str, dict]:
    return {one["id"]: one for one in node.get("/v1/datasets")["datasets"]}


def test_data_between_three_processes(tmp_path: Path) -> None:
    """The owner is killed right after its node has answered: what was answered is on its disk, and reaches the others.
    Another peer signs a statement, and the third one traces all of it without ever getting a row."""
    for name, text in (("schema.toml", SCHEMA), ("cells.csv", TABLE), ("consent.txt", CONSENT)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    with lab(tmp_path, "owner", "partner", "reader", options=LINED) as made:
        reader = made.start("reader")
        partner = made.start("partner", reader.address)
        owner = made.start("owner", reader.address, partner.address)
        for node in (reader, partner, owner):
            wait_ready(node)
        commit = ("data", "commit", "cells.csv", "--schema", "schema.toml", "--licence", "MIT", "--basis", "consent")
        dataset = command(made, "owner", *commit)["record"]
        rows = [command(made, "owner", "data", "show", "cells", "--row", str(n))["row"] for n in range(3)]
        owner.process.kill()
        owner.process.wait()
        owner = made.start("owner", reader.address, partner.address)
        wait_ready(owner)
        reader.until(lambda: dataset in offered(reader))

        left = command(made, "owner", "data", "erase", "cells", "--row", "1")
        reader.until(lambda: offered(reader)[dataset]["erased"] == 1)
        assert offered(reader)[dataset]["root"] == left["root"]
        gone = bytes_below(made.home("owner") / "data")
        assert bytes.fromhex(rows[1]["salt"]) not in gone
        assert bytes.fromhex(rows[2]["salt"]) in gone

        command(
            made, "owner", "statement", "sign", "consent.txt", "--profile", "dua/1", "--subject", "study 12",
            "--parent", dataset, "--with", made.ids["partner"], "-o", "asked",
        )  # fmt: skip
        command(made, "partner", "statement", "cosign", "asked", "-o", "both")
        said = command(made, "owner", "statement", "publish", "both")["record"]
        command(made, "owner", "ledger", "verify")

        def is_certified() -> bool:  # exit 5 until the record has come
            done = run(made.home("reader"), "trace", "both", "--json", cwd=made.folder)
            return done.returncode == 0 and all(node["epoch"] is not None for node in json.loads(done.stdout)["nodes"])

        reader.until(is_certified)
        found = command(made, "reader", "trace", "both")
        assert [(node["depth"], node["id"]) for node in found["nodes"]] == [(0, said), (1, dataset)]
        statement, data = found["nodes"]
        assert (statement["author"], statement["signed_with"]) == (made.ids["owner"], made.ids["partner"])
        assert (statement["opened"], statement["holds"], found["faults"]) == ("study 12", True, [])
        assert [each["rows_left"] for each in data["erasures"]] == [2]
        assert data["epoch"] <= data["erasures"][0]["epoch"] <= statement["epoch"]

        for node in (owner, partner, reader):
            node.stop()
        for name in ("partner", "reader"):
            held = bytes_below(made.home(name))
            secrets = [bytes.fromhex(row[key]) for row in rows for key in ("bytes", "salt")]
            secrets += [b"Alice Example", b"mean radius", b"malignant", b"study 12", CONSENT.encode()]
            for secret in secrets:
                assert sha256(secret) not in held
                if len(secret) > 4:
                    assert secret not in held
