"""`device-sdk-sim publish tamp` and `tamp` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from device_sdk_simulators.cli.main import main
from device_sdk_simulators.server import ReferenceServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    with ReferenceServer(tmp_path_factory.mktemp("tamp") / "server") as running:
        yield running


WRONG = {
    "hello": "messages about trust anchors are",
    "update": "--add, --remove or --change",
    "update --add nobody": "neither a trust anchor",
    "update --change identity --form certificate": "does not change",
    "update --add identity --anchor-number identity": "not ANCHOR=N",
    "update --add identity --anchor-number identity=-1": "not ANCHOR=N",
    "community-update": "--join, --leave or --leave-all",
    "community-update --join abc": "not an object identifier",
    "query --contingency": "signs apex updates only",
    "apex-update --contingency --new-apex apex": "--contingency-again",
    "query --by nobody": "no trust anchor nobody",
    "query --number -1": "whole number",
    "query --number 9223372036854775808": "whole number",
    "query --other-name 1.2.3": "not OID=HEX",
    "query --other-name x=00": "not OID=HEX",
    "query --other-name 1.2.3=zz": "not OID=HEX",
    "query --hw-type abc": "not an object identifier",
    "query --hw-type 1.2.3 --hw-serial xx": "not hex digits",
    "query --hw-type 1.2.3 --hw-serial 0005-0001": "no block",
    "query --hw-type 1.2.3 --hw-serial 00-0001": "no block",
    "query --nesting a": "--nesting: not an option of `publish tamp`",
    "query --by-cmc": "--by-cmc: not an option of `publish tamp`",
    "query --uri http://ü.example/": "ASCII",
    f"update --add identity --title {'x' * 65}": "64 characters",
}


@pytest.mark.parametrize("words", WRONG)
def test_what_makes_no_message(server: ReferenceServer, capsys: pytest.CaptureFixture[str], words: str) -> None:
    """Exit code 2, and words that say what to do."""
    command = [
        "publish",
        "tamp",
        *words.split(),
        "--to",
        "*",
        "--label",
        "nobody-asks-for-it",
        "--state",
        str(server.state),
    ]
    try:
        code = main(command)
    except SystemExit as ended:
        code = int(str(ended.code))
    assert code == 2
    assert WRONG[words] in capsys.readouterr().err


def test_t_07_a_contingency_key_that_signs_twice_has_to_be_asked_for(server: ReferenceServer) -> None:
    state = ("--state", str(server.state), "--to", "*", "--label", "nobody-asks-for-it")
    again = ("--contingency", "--new-apex", "apex", "--contingency-again")
    assert main(["publish", "tamp", "apex-update", *again, *state]) == 0


def test_messages_that_set_numbers_use_them_up(server: ReferenceServer, tmp_path: Path, capsys) -> None:
    """What the signer says next has a number that devices take; a package is withdrawn by what `publish` said."""
    state = ("--state", str(server.state))
    to = (*state, "--to", "*", "--label", "nobody-asks-for-it", "--uri", "http://store.example/")
    assert main(["tamp", "make", "management-7", *state]) == 0
    assert main(["tamp", "make", "apex-7", *state]) == 0
    added = ("--add", "management-7", "--anchor-number", "management-7=41")
    for words in (("update", *added), ("apex-update", "--new-apex", "apex-7", "--apex-number", "6")):
        assert main(["publish", "tamp", *words, *to]) == 0
    capsys.readouterr()
    assert main(["tamp", "list", "--json", *state]) == 0
    numbers = {one["name"]: one["next_number"] for one in json.loads(capsys.readouterr().out)}
    assert (numbers["management-7"], numbers["apex-7"]) == (42, 7)
    assert main(["publish", "tamp", "query", "--by", "apex-7", *to]) == 0
    place = capsys.readouterr().out.split()[-1]
    assert place.startswith("tamp/")
    assert main(["withdraw", place, *state]) == 0


def test_anchors_are_made_listed_and_written(server: ReferenceServer, tmp_path: Path, capsys) -> None:
    """With the number that each uses next; what is there stays what it is."""
    state = ("--state", str(server.state), "--json")

    def run(*words: str) -> list[dict[str, object]]:
        capsys.readouterr()
        assert main(["tamp", *words, *state]) == 0
        found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
        return found

    for _ in range(2):
        run("make", "management-2", "--key-type", "rsa-2048")
    assert main(["publish", "tamp", "query", "--by", "management-2", "--to", "*", *state]) == 0
    listed = {one["name"]: one for one in run("list")}
    assert listed.keys() >= {"apex", "identity", "management", "management-2"}
    assert (listed["management-2"]["role"], listed["management-2"]["next_number"]) == ("management", 2)
    rows = run("anchors", "--out", str(tmp_path / "out"), "--form", "certificate", "management-2")
    assert [(row["name"], row["key_id"]) for row in rows] == [("management-2", listed["management-2"]["key_id"])]
    certificate = x509.load_pem_x509_certificate((tmp_path / "out" / "management-2.pem").read_bytes())
    assert isinstance(certificate.public_key(), rsa.RSAPublicKey)
    assert x509.load_der_x509_certificate((tmp_path / "out" / "management-2.der").read_bytes()) == certificate
    assert main(["tamp", "make", "nobody", *state]) == 2
    assert main(["tamp", "devices", *state[:2]]) == 0
    assert "no device said anything" in capsys.readouterr().out


def test_only_where_a_server_is(tmp_path: Path, capsys) -> None:
    """A wrong --state makes no keys there."""
    for words in (["list"], ["make", "apex-2"], ["anchors", "--out", str(tmp_path / "out")], ["devices"]):
        assert main(["tamp", *words, "--state", str(tmp_path)]) == 2
        assert "not the state directory" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
