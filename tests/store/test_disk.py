"""The database's report of its disk usage."""

import shutil

from p2pverify.store.disk import disk_figures


def test_the_database_and_its_log_are_measured_and_so_is_what_is_left(tmp_path):
    """The write-ahead log counts. A missing file system is left out without an error."""
    path = tmp_path / "node.db"
    assert disk_figures(path)["bytes"] == 0
    path.write_bytes(bytes(1000))
    (tmp_path / "node.db-wal").write_bytes(bytes(234))
    found = disk_figures(path)
    assert found["bytes"] == 1234
    assert 0 < found["free_bytes"] <= shutil.disk_usage(tmp_path).total
    assert disk_figures(tmp_path / "gone" / "node.db") == {"bytes": 0}
