"""`device-sdk-sim users`: who may log in is seen, and taken away from a server that runs (EST-80)."""

from __future__ import annotations

import json

import pytest
from device_sdk_simulators.cli.main import main
from device_sdk_simulators.server import ReferenceServer

from tests.simulators.server.test_guessing import basic


def sim(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert main(["users", *words]) == code
    out, err = capsys.readouterr()
    return err if code else out


def test_users_stay_until_somebody_removes_them(tmp_path, capsys):
    """A start with another --user adds one. What the running server has verified before counts no more, either."""
    where = ("--state", str(tmp_path / "server"))
    with ReferenceServer(tmp_path / "server", user="lab", password="first password") as server:
        assert basic(server, "first password", who="lab").status == 200
    with ReferenceServer(tmp_path / "server", user="ann", password="second password") as server:
        server.policy.http_auth = ("basic", "digest")
        assert basic(server, "first password", who="lab").status == 200
        assert json.loads(sim(capsys, "list", "--json", *where)) == {"users": ["ann", "lab"]}
        assert "removed lab" in sim(capsys, "remove", "lab", *where)
        assert basic(server, "first password", who="lab").status == 401
        assert server.users.login("lab", "SHA-256") is None
        assert basic(server, "second password", who="ann").status == 200
    assert sim(capsys, "list", *where) == "ann\n"
    assert "no user lab" in sim(capsys, "remove", "lab", *where, code=2)
    assert "remove needs the name" in sim(capsys, "remove", *where, code=2)
    assert "remove needs the name" in sim(capsys, "list", "ann", *where, code=2)


def test_a_password_that_another_process_changed(tmp_path):
    """What the server has verified is good as long as it is the password."""
    from device_sdk_simulators.database import Database
    from device_sdk_simulators.passwords import Users

    with ReferenceServer(tmp_path / "server", user="lab", password="first password") as server:
        assert basic(server, "first password", who="lab").status == 200
        database = Database(tmp_path / "server" / "server.sqlite")
        Users(database).add("lab", "other password")
        database.close()
        assert [basic(server, f"{word} password", who="lab").status for word in ("first", "other")] == [401, 200]
