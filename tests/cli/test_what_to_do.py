"""What a person reads when something is wrong: what failed, on which endpoint, key or file, and what to do (EST-160)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from device_sdk_simulators.csr_demand import Demand

from tests.cli.conftest import Done, Lab, openssl

pytestmark = pytest.mark.slow

_ID, _SECRET = "0badcafe", bytes(range(32))


@dataclass(frozen=True)
class Situation:
    """Something that is wrong.

    Attributes:
        words: further words of the command; "{dir}", "{keys}" and "{url}" are filled in.
        code: what it exits with.
        names: what the message names, filled in likewise.
        hint: what the hint says.
        command: operation and what it needs, by name.
        before: what makes it wrong.
        fault: how the server is told to misbehave.
    """

    words: str
    code: int
    names: str
    hint: tuple[str, ...]
    command: str = "enroll"
    before: Callable[[Lab], object] | None = None
    fault: str = ""


def policy(**values: object) -> Callable[[Lab], None]:
    def change(lab: Lab) -> None:
        for name, value in values.items():
            setattr(lab.server.policy, name, value)

    return change


def otp(lab: Lab) -> None:
    lab.server.policy.require_otp = True
    write(lab, "otp", "guessed")


def write(lab: Lab, name: str, text: str) -> None:
    path = lab.directory / name
    path.write_text(text)
    path.chmod(0o600)


def other_key(lab: Lab) -> None:
    """A certificate in c.pem whose key is mine.pem, and another key."""
    lab.certificate(lab.directory / "c.pem", lab.key("mine"))
    lab.key("other")


def keygen(lab: Lab) -> None:
    lab.server.policy.serverkeygen = {"secret", "certificate"}
    lab.server.est.server_keys.secrets.add(bytes.fromhex(_ID), _SECRET)
    write(lab, "secret", _SECRET.hex())
    write(lab, "wrong", bytes(32).hex())
    write(lab, "short", "0011")


def certificate_of_nobody(lab: Lab) -> None:
    """A certificate in c.pem for mine.pem that the server's CA did not issue."""
    keygen(lab)
    lab.key("mine")
    openssl(
        *("req", "-x509", "-new", "-key", lab.keys / "mine.pem", "-subj", "/CN=stranger", "-days", "2"),
        *("-addext", "keyUsage=keyAgreement,digitalSignature", "-out", lab.directory / "c.pem"),
    )


ENROL, KEYGEN = "{url}/.well-known/est/simpleenroll", "{url}/.well-known/est/serverkeygen"
CACERTS, CSRATTRS = "{url}/.well-known/est/cacerts", "{url}/.well-known/est/csrattrs"
OF_THE_SERVER = ("the server's", "operator")

SITUATIONS = {
    "a binding the server refuses": Situation("--binding finished", 7, ENROL, ("--binding auto",), before=policy(require_binding=True)),
    "a binding this connection has not": Situation("--binding tls-unique --tls-max 1.3", 2, "tls-unique", ("--tls-max", "--binding auto")),
    "no MAC address": Situation("", 7, ENROL, ("MAC address (--mac)",), before=policy(demands=[Demand(mac_address=True)])),
    "no serial number": Situation("", 7, ENROL, ("serial number (--serial",), before=policy(demands=[Demand(subject=(("2.5.4.5", None),))])),
    "an attribute nobody gave": Situation("", 7, ENROL, ("--attribute 1.2.3.4=VALUE",), before=policy(demands=[Demand(attributes=("1.2.3.4",))])),
    "no one-time password": Situation("", 7, ENROL, ("one-time password (--otp-file",), before=policy(require_otp=True)),
    "a wrong one-time password": Situation("--otp-file {dir}/otp", 7, ENROL, ("check --otp-file",), before=otp),
    "no revocation password": Situation("", 7, ENROL, ("revocation password (--revocation-password-file",), before=policy(require_revocation_challenge=True)),
    "any 400": Situation("--mac 00:00:5e:00:53:01", 7, ENROL, ("device-sdk est csrattrs",), fault="status=400@simpleenroll"),
    "any 403": Situation("", 7, ENROL, ("operator",), fault="status=403@simpleenroll"),
    "any 409": Situation("", 7, ENROL, OF_THE_SERVER, fault="status=409@simpleenroll"),
    "any 500": Situation("", 7, ENROL, OF_THE_SERVER, fault="html@simpleenroll"),
    "wrong --decrypt-id": Situation("--decrypt-secret-file {dir}/secret --decrypt-id abcd", 7, KEYGEN, ("--decrypt-id",), "serverkeygen", keygen),
    "wrong --decrypt-secret-file": Situation("--decrypt-secret-file {dir}/wrong --decrypt-id " + _ID, 10, KEYGEN, ("this very key or secret",), "serverkeygen", keygen),
    "a short --decrypt-secret-file": Situation("--decrypt-secret-file {dir}/short --decrypt-id " + _ID, 2, "{dir}/short", ("16, 24 or 32",), "serverkeygen", keygen),
    "no hex in --decrypt-id": Situation("--decrypt-secret-file {dir}/secret --decrypt-id none", 2, "--decrypt-id", ("two hex digits",), "serverkeygen", keygen),
    "wrong --decrypt-key": Situation("--decrypt-key file:{keys}/other.pem --decrypt-cert {dir}/c.pem", 2, "{dir}/c.pem", ("the key it was issued for",), "serverkeygen", other_key),
    "unknown --decrypt-cert": Situation("--decrypt-key file:{keys}/mine.pem --decrypt-cert {dir}/c.pem", 7, KEYGEN, ("--decrypt-cert",), "serverkeygen", certificate_of_nobody),
    "no clear keys": Situation("--allow-clear", 7, KEYGEN, ("--decrypt-key",), "serverkeygen", keygen),
    "a wrong pair": Situation("--tls-cert {dir}/c.pem --tls-key file:{keys}/other.pem", 2, "file:{keys}/other.pem", ("the key it was issued for",), before=other_key),
    "redirect during bootstrap": Situation("--pin {pin}", 7, CACERTS, ("--url https://other.example",), "bootstrap", fault="redirect=307 https://other.example/x"),
    "redirect to http": Situation("", 7, ENROL, ("--url",), fault="redirect=302 http://localhost/x@simpleenroll"),
    "303 after a POST": Situation("", 7, ENROL, ("307",), fault="redirect=303 /x@simpleenroll"),
    "truncated": Situation("", 5, ENROL, ("try again",), fault="truncate@simpleenroll"),
    "truncated with close_notify": Situation("", 5, CACERTS, ("try again",), "cacerts", fault="truncate_quietly"),
    "not base64": Situation("", 7, CACERTS, ("URL and label",), "cacerts", fault="not_base64"),
    "not CMS": Situation("", 7, ENROL, ("URL and label",), fault="not_cms@simpleenroll"),
    "another media type": Situation("", 7, CACERTS, ("portal", "URL and label"), "cacerts", fault="media_type"),
    "another key": Situation("", 7, ENROL, ("try again", "operator"), fault="other_key@simpleenroll"),
    "no certificate": Situation("", 7, ENROL, OF_THE_SERVER, fault="no_certificate@simpleenroll"),
    "a CA nobody knows": Situation("", 7, ENROL, ("anchors",), fault="other_issuer@simpleenroll"),
    "a large header": Situation("", 7, CACERTS, ("host and port", "log"), "cacerts", fault="big_header"),
    "many header fields": Situation("", 7, CACERTS, ("host and port", "log"), "cacerts", fault="many_headers"),
    "not HTTP": Situation("", 7, CACERTS, ("host and port",), "cacerts", fault="not_http"),
    "drip": Situation("--timeout 1", 5, CACERTS, ("--timeout",), "cacerts", fault="drip=3"),
    "slow": Situation("--timeout 1", 5, CACERTS, ("--timeout",), "cacerts", fault="delay=5"),
    "csrattrs as PEM": Situation("", 7, CSRATTRS, ("BEGIN and END", "operator"), "csrattrs", fault="pem@csrattrs"),
    "no anchors file": Situation("--anchors {dir}/none.pem", 2, "{dir}/none.pem", ("check the name",)),
    "no anchors directory": Situation("--anchors {dir}/none/a.pem", 2, "{dir}/none/a.pem", ("make the directory",)),
    "a directory of anchors": Situation("--anchors {dir}", 2, "{dir}", ("not a directory",)),
    "no password file": Situation("--password-file {dir}/none", 2, "{dir}/none", ("check the name",)),
    "no otp file": Situation("--otp-file none", 2, "none", ("looked for in {dir}",)),
    "no configuration": Situation("--config {dir}/none.toml", 2, "{dir}/none.toml", ("check the name",)),
    "no place for the result": Situation("--out {dir}/none/out.pem", 2, "{dir}/none/out.pem", ("make the directory",)),
}  # fmt: skip


def run(lab: Lab, situation: Situation, fill: Callable[[str], str]) -> Done:
    key = lab.key()
    words = fill(situation.words).split()
    common = {
        "enroll": ("enroll", *lab.trust, *lab.login, "--key", key, "--subject", "CN=x"),
        "serverkeygen": ("serverkeygen", *lab.trust, *lab.login, "--subject", "CN=x", "--key-out", lab.directory / "k"),
        "cacerts": ("cacerts", *lab.trust),
        "csrattrs": ("csrattrs", *lab.trust),
        "bootstrap": ("cacerts", "--url", lab.server.url),
    }
    return lab.cli("est", *common[situation.command], *words, "--json")


@pytest.mark.parametrize("what", SITUATIONS)
def test_est_160_what_failed_where_and_what_to_do(what: str, lab: Lab) -> None:
    """One line with endpoint, key or file; the same as data; a hint that helps."""
    situation = SITUATIONS[what]

    def fill(text: str) -> str:
        names = {"dir": lab.directory, "keys": lab.keys, "url": lab.server.url, "pin": lab.pin}
        return text.format(**names) if "{" in text else text

    if situation.before:
        situation.before(lab)
    if situation.fault:
        lab.server.faults.parse(situation.fault)
    done = run(lab, situation, fill)
    assert done.code == situation.code, done
    message, hint = done.error["message"], done.error["hint"]
    assert fill(situation.names) in message
    for words in situation.hint:
        assert fill(words) in hint, hint
    assert done.err.splitlines()[-1] == f"device-sdk: {message} ({hint})"
    assert not Path(lab.directory / "k").exists()
