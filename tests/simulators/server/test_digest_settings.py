"""What the command offers of HTTP Digest, and what is kept for it (RFC 7616 section 5.2; EST-80)."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
import requests
from device_sdk_simulators.cli.main import main
from device_sdk_simulators.policy import Policy
from device_sdk_simulators.server import ReferenceServer

from tests.simulators.server.test_digest import TARGET, answer, fresh, status


def stored(server) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(server.state / "server.sqlite")) as database:
        return database.execute("SELECT name, algorithm FROM digests ORDER BY name, algorithm").fetchall()


@pytest.mark.slow
def test_hashes_for_digest_are_kept_only_while_it_is_offered(tmp_path):
    """Who can read them can log in (RFC 7616 section 5.2)."""
    both = [("device", "MD5"), ("device", "SHA-256")]
    with ReferenceServer(tmp_path / "s") as server:
        assert stored(server) == []
    with ReferenceServer(tmp_path / "s", policy=Policy(http_auth=("digest",))) as server:
        assert stored(server) == both
    with ReferenceServer(tmp_path / "s") as server:
        assert stored(server) == []


def test_a_database_from_before_digest_is_completed_by_the_first_basic_login(tmp_path):
    with ReferenceServer(tmp_path / "s") as server:
        server.users.add("old", "pw")
        server._database.execute("DROP TABLE digests")
    with ReferenceServer(tmp_path / "s", policy=Policy(http_auth=("basic", "digest"))) as server:
        assert status(server, answer(server, fresh(server), user="old", password="pw")) == 401
        assert server.users.check("old", "pw")
        assert status(server, answer(server, fresh(server), user="old", password="pw")) == 200
        server.users.add("old", "new")
        assert status(server, answer(server, fresh(server), user="old", password="pw")) == 401
        assert status(server, answer(server, fresh(server), user="old", password="new")) == 200


@pytest.mark.slow
def test_the_command_says_what_is_offered_est_80(tmp_path):
    words = [
        "server",
        "--state",
        tmp_path / "s",
        "--json",
        "--user",
        "device",
        "--auth",
        "Digest",
        "--digest-algorithms",
        "md5",
    ]
    with subprocess.Popen([sys.executable, "-m", "device_sdk_simulators.cli.main", *map(str, words)],
                          stdout=subprocess.PIPE, text=True) as process:  # fmt: skip
        try:
            facts = json.loads(process.stdout.readline())
            url = facts["url"].replace("127.0.0.1", "localhost") + TARGET
            with requests.Session() as session:
                session.trust_env = False
                answered = session.post(url, data=b"", verify=facts["ca_file"], timeout=20)
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
    assert re.sub('"[^"]{30,}"', "", answered.headers["WWW-Authenticate"]) == (
        'Digest realm="estrealm", qop="auth", algorithm=MD5, nonce=, opaque=, charset=UTF-8'
    )


@pytest.mark.parametrize(
    "words",
    [
        ("--auth", "none"),
        ("--auth", ""),
        ("--auth", "basic,"),
        ("--auth", "basic,basic"),
        ("--digest-algorithms", "SHA-1"),
    ],
)
def test_schemes_that_are_none(words, capsys, tmp_path):
    with pytest.raises(SystemExit) as caught:
        main(["server", "--state", str(tmp_path / "s"), *words])
    assert caught.value.code == 2
    assert "is not one or more of" in capsys.readouterr().err
