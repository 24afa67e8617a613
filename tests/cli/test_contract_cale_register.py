"""`device-sdk cale register|list|forget`: proofs of identity, one registration an application, a new key after revocation."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from device_sdk_simulators.softhsm import SoftHsm
from device_sdk_simulators.swtpm import Swtpm

from device_sdk.state import StateDirectory
from tests.cli.conftest import Lab, openssl
from tests.cli.test_secrets import _at_terminal

pytestmark = pytest.mark.slow

TOKEN = "mF_9.B5f-4.1JqM~+/=="


@pytest.fixture
def words(lab: Lab) -> tuple[str, ...]:
    """Everything but the key and the proof of identity."""
    lab.server.cale.tokens.add("benjamin", TOKEN)
    return ("cale", "register", "--state", str(lab.state), "--anchors", str(lab.server.ca_file),
            "--url", lab.server.cale_url, "--subject", "CN=router-7")  # fmt: skip


@pytest.fixture
def new(lab: Lab) -> tuple[str, ...]:
    """A key that is not there yet."""
    return ("--key", f"file:{lab.keys}/cale.pem", "--type", "rsa-2048")


def _proofs(lab: Lab) -> list[str]:
    return [entry["authentication"] for entry in lab.server.log() if entry.get("operation") == "registration"]


def _read(lab: Lab, *more: object) -> str:
    return lab.cli.ok("cale", "get", "/resource", "--state", lab.state, "--anchors", lab.server.ca_file, *more).out


def _descriptor(content: str) -> int:
    read, write = os.pipe()
    os.write(write, content.encode())
    os.close(write)
    return read


@pytest.mark.slow
def test_a_bearer_token_from_each_place(lab: Lab, words: tuple[str, ...], new: tuple[str, ...], tmp_path: Path) -> None:
    """CALE-02; RFC 6750 section 2.1."""
    (tmp_path / "token").write_text(TOKEN + "\n")
    (tmp_path / "token").chmod(0o600)
    lab.cli.ok(*words, *new, "--bearer-file", tmp_path / "token")
    lab.cli.ok(*words, "--again", env={"DEVICE_SDK_BEARER": TOKEN})
    read = _descriptor(TOKEN)
    lab.cli.ok(*words, "--again", "--bearer-fd", read, pass_fds=(read,))
    os.close(read)
    # the second question is for a passphrase of the new key file
    code, screen = _at_terminal(lab.cli, [TOKEN, ""], *words, "--again", "--proof", "bearer")
    assert code == 0, screen
    assert TOKEN not in screen
    assert _proofs(lab) == ["bearer"] * 4
    assert _read(lab) == '{"foo": "bar"}\n'


@pytest.mark.slow
def test_which_proof_counts(lab: Lab, words: tuple[str, ...], new: tuple[str, ...], tmp_path: Path) -> None:
    """The one named nearer; both by flag is a question; --proof answers it."""
    (tmp_path / "token").write_text(TOKEN)
    token = ("--bearer-file", tmp_path / "token")
    assert "both a password and a bearer token" in lab.cli.fails(2, *words, *new, *token, *lab.login)
    lab.cli.ok(*words, *new, *token, env={"DEVICE_SDK_EST_USER": "nobody", "DEVICE_SDK_PASSWORD": "x"})
    lab.cli.ok(*words, "--again", *lab.login, env={"DEVICE_SDK_BEARER": "wrong"})
    lab.cli.ok(*words, "--again", *token, *lab.login, "--proof", "password")
    assert "no bearer token" in lab.cli.fails(2, *words, "--again", "--proof", "bearer", *lab.login)
    assert "proof of identity" in lab.cli.fails(7, *words, "--again", *lab.login, "--proof", "none")
    assert _proofs(lab) == ["bearer", "basic", "basic"]


@pytest.mark.slow
def test_a_wrong_token_is_not_shown(lab: Lab, words: tuple[str, ...], new: tuple[str, ...]) -> None:
    done = lab.cli(*words, *new, "-v", "--json", env={"DEVICE_SDK_BEARER": "WRONGTOKEN"})
    assert done.code == 7
    assert done.error["code"] == "authentication-required"
    assert done.error["schemes"] == ["Bearer"]
    assert "WRONGTOKEN" not in done.out + done.err
    odd = lab.cli(*words, *new, "-v", "--json", env={"DEVICE_SDK_BEARER": "TWO WORDS"})
    assert odd.code == 2
    assert "TWO WORDS" not in odd.out + odd.err


@pytest.mark.slow
def test_a_certificate_with_a_hardware_key(lab: Lab, token: SoftHsm, words: tuple[str, ...], tmp_path: Path) -> None:
    """CALE-02: TLS client authentication by a key in a token; another key, in the same token, is registered."""
    device = token.uri_of("device")
    lab.cli.ok(
        "enroll", "--state", tmp_path / "est", "--key", device, *lab.trust, *lab.login, "--subject", "CN=router-7"
    )
    certificate = ("--tls-cert", tmp_path / "est" / "current.pem", "--tls-key", device)
    assert "go together" in lab.cli.fails(2, *words, "--key", device, *certificate[:2])
    lab.cli.ok(*words, "--key", token.uri_of("cale"), "--type", "ec-p256", *certificate)
    assert _proofs(lab) == ["tls"]
    assert _read(lab) == '{"foo": "bar"}\n'


def test_cale_14_a_registration_again_says_what_it_needs(lab: Lab, words: tuple[str, ...]) -> None:
    lab.cli.ok(*words, *lab.login, "--key", f"file:{lab.keys}/cale.pem", "--type", "ec-p256")
    at = words.index("--subject")
    nameless = (*words[:at], *words[at + 2 :])
    assert "does not keep what it was asked for with" in lab.cli.fails(2, *nameless, *lab.login, "--again")
    assert "does not keep" not in lab.cli.fails(
        2, *nameless, *lab.login, "--application", "x", "--key", f"file:{lab.keys}/x"
    )


@pytest.mark.parametrize("kind", ["rsa-2048", "ec-p256"])
@pytest.mark.parametrize("store", ["pkcs11", "tpm2", "file"])
def test_cale_14_revoked_and_registered_again(
    store: str, kind: str, lab: Lab, token: SoftHsm, swtpm: Swtpm, words: tuple[str, ...]
) -> None:
    """The new key replaces the old one, in every keystore; nothing else is left there."""
    key, place = {
        "pkcs11": (token.uri_of("cale"), token.uri),
        "tpm2": (f"tpm2:file={lab.keys}/cale.pem", f"tpm2:dir={lab.keys}"),
        "file": (f"file:{lab.keys}/cale.pem", f"file:{lab.keys}"),
    }[store]
    first = lab.cli.ok(*words, *lab.login, "--key", key, "--type", kind, "--json").json
    assert first["created_here"] is True
    assert _read(lab) == '{"foo": "bar"}\n'
    subprocess.run(["device-sdk-sim", "revoke", first["guid"], "--state", lab.server.state], check=True)
    state = ("--state", lab.state, "--anchors", lab.server.ca_file)
    assert "revoked or unknown" in lab.cli.fails(10, "cale", "get", "/resource", *state)
    assert "revoked or unknown" in lab.cli.fails(10, "cale", "whoami", *state)
    second = lab.cli.ok(*words, *lab.login, "--again", "--json").json
    assert second["guid"] != first["guid"]
    assert second["key_uri"] != first["key_uri"]
    assert _read(lab) == '{"foo": "bar"}\n'
    left = lab.cli.ok("keys", "list", place, "--json").json["keys"]
    assert len(left) == 1
    assert left[0]["key_type"] == kind
    assert lab.cli.ok("cale", "forget", "--state", lab.state, "--json").json == {
        "destroyed": [second["key_uri"]],
        "notes": [],
    }
    assert lab.cli.ok("keys", "list", place, "--json").json["keys"] == []


@pytest.mark.slow
def test_cale_14_again_takes_a_new_key_also_where_the_old_one_is_named(
    lab: Lab, words: tuple[str, ...], new: tuple[str, ...]
) -> None:
    """The same words each time: the next key, which is said; interrupted or killed, they go on with the same one."""
    repeated = (*words, *new, *lab.login, "--again")
    first = lab.cli.ok(*words, *new, *lab.login, "--json").json
    done = lab.cli.ok(*repeated)
    key = f"file:{lab.keys}/cale-2.pem"
    assert done.out == f"registered default: {lab.server.cale_url}, key {key}\n"
    assert f"note: --again takes a new key where --key names the one that was registered: {key}" in done.err
    second = StateDirectory(lab.state).cale_registration("default")
    assert second is not None
    assert second.key_sha256 != first["key_sha256"]
    assert sorted(path.name for path in lab.keys.glob("*.pem")) == ["cale-2.pem"]

    (lab.directory / "wrong").write_text("wrong")
    lab.cli.fails(7, *words, *new, "--again", "--user", "device", "--password-file", lab.directory / "wrong")
    made = (lab.keys / "cale-3.pem").read_bytes()
    third = lab.cli.ok(*repeated, "--json").json
    assert third["key_uri"] == f"file:{lab.keys}/cale-3.pem"
    assert (lab.keys / "cale-3.pem").read_bytes() == made
    assert "cale-3.pem" in third["notes"][0]
    assert _read(lab) == '{"foo": "bar"}\n'

    (lab.directory / "pin").write_text("")
    spelt = f"{third['key_uri']}?pin-source={lab.directory}/pin"
    fourth = lab.cli.ok(*words, *lab.login, "--again", "--key", spelt, "--json").json
    assert fourth["key_uri"] == f"file:{lab.keys}/cale-4.pem", "the same key, wherever its PIN is said to be"

    other = lab.cli.ok(*words, *lab.login, "--again", "--key", f"file:{lab.keys}/x.pem", "--type", "ec-p256", "--json")
    assert (other.json["key_uri"], other.json["notes"]) == (f"file:{lab.keys}/x.pem", []), "another key is as it says"


@pytest.mark.slow
def test_applications_and_list(lab: Lab, words: tuple[str, ...], new: tuple[str, ...]) -> None:
    """CALE-13: one GUID and one key an application; GUIDs are shown to machines only."""
    state = ("--state", lab.state)
    assert lab.cli.ok("cale", "list", *state, "--json").json == {
        "registrations": {},
        "under_way": {},
        "damaged": {},
    }
    one = lab.cli.ok(*words, *lab.login, *new, "--json").json
    two = lab.cli.ok(*words, *lab.login, "--key", f"file:{lab.keys}/meter.pem", "--type", "ec-p384",
                     "--application", "meter", "--json").json  # fmt: skip
    assert (one["application"], two["application"]) == ("default", "meter")
    listed = lab.cli.ok("cale", "list", *state, "--json").json["registrations"]
    assert {name: kept["guid"] for name, kept in listed.items()} == {"default": one["guid"], "meter": two["guid"]}
    assert one["guid"] not in lab.cli.ok("cale", "list", *state).out
    again = lab.cli.ok(*words, *lab.login, "--again")
    three = lab.cli.ok("cale", "list", *state, "--json").json["registrations"]["default"]
    assert again.out == f"registered default: {lab.server.cale_url}, key {three['key_uri']}\n"
    assert three["guid"] not in again.out + again.err
    for name in ("default", "meter"):
        assert _read(lab, "--application", name) == '{"foo": "bar"}\n'
    lab.cli.ok("cale", "forget", *state, "--application", "meter")
    assert "no CALE registration named 'meter'" in lab.cli.fails(
        2, "cale", "get", "/x", *state, "--application", "meter"
    )
    assert sorted(path.name for path in lab.keys.glob("*.pem")) == ["cale-2.pem"]
    nothing = lab.cli.ok("cale", "forget", *state, "--application", "meter", "--json")
    assert nothing.json["destroyed"] == []
    assert "no CALE registration named 'meter'" in nothing.err


@pytest.mark.slow
def test_registered_already_interrupted_and_finished(lab: Lab, words: tuple[str, ...], new: tuple[str, ...]) -> None:
    (lab.directory / "wrong").write_text("wrong")
    refused = lab.cli(*words, *new, "--user", "device", "--password-file", lab.directory / "wrong")
    assert refused.code == 7
    assert "interrupted since" in lab.cli.ok("cale", "list", "--state", lab.state).out
    assert list(lab.cli.ok("cale", "list", "--state", lab.state, "--json").json["under_way"]) == ["default"]
    made = (lab.keys / "cale.pem").read_bytes()
    lab.cli.ok(*words, *new, *lab.login)
    assert (lab.keys / "cale.pem").read_bytes() == made
    assert "--again" in lab.cli.fails(2, *words, *new, *lab.login)
    assert "interrupted" not in lab.cli.ok("cale", "list", "--state", lab.state).out


def test_a_key_that_is_not_there_is_made_only_if_told_to(lab: Lab, words: tuple[str, ...]) -> None:
    said = lab.cli.fails(3, *words, *lab.login, "--key", f"file:{lab.keys}/typo.pem")
    assert "--type" in said
    assert list(lab.keys.iterdir()) == []


@pytest.mark.slow
def test_the_devices_own_key_comes_with_a_warning(lab: Lab) -> None:
    lab.enrolled()
    done = lab.cli.ok("cale", "register", "--state", lab.state, "--url", lab.server.cale_url, "--json")
    assert "a renewal with a new key takes it away" in done.err
    assert "takes it away" in done.json["notes"][0]
    again = lab.cli.ok("cale", "register", "--state", lab.state, "--url", lab.server.cale_url, "--again", "--json").json
    assert again["notes"] == []
    assert len(list(lab.keys.glob("*.pem"))) == 2
    assert json.loads(_read(lab)) == {"foo": "bar"}


def test_a_certificate_of_a_ca_the_server_does_not_know(lab: Lab, words: tuple[str, ...], new: tuple[str, ...]) -> None:
    """CALE-02: a refused proof of identity, as a wrong password is: coming back later does not help."""
    key, certificate = lab.directory / "own.key", lab.directory / "own.pem"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
            "-out", certificate, "-subj", "/CN=router-7", "-days", "1")  # fmt: skip
    key.chmod(0o600)
    done = lab.cli(*words, *new, "--tls-cert", certificate, "--tls-key", f"file:{key}", "--json")
    assert (done.code, done.error["code"]) == (7, "client-certificate-refused"), done
    assert done.error["hint"] == "the server does not know the CA of the client certificate"


def test_registered_again_where_it_is(lab: Lab, words: tuple[str, ...], new: tuple[str, ...]) -> None:
    """The state has the origin, so --url is needed only for another one."""
    url = words.index("--url")
    without = words[:url] + words[url + 2 :]
    assert "cale.url is not set" in lab.cli.fails(2, *without, *lab.login, *new)
    lab.cli.ok(*words, *lab.login, *new)
    again = lab.cli.ok(*without, *lab.login, "--again", "--json").json
    assert again["origin"] == lab.server.cale_url
    assert "has no path" in lab.cli.fails(2, *without, *lab.login, "--again", "--url", f"{lab.server.cale_url}/x")


def test_edge_urls_that_are_none(lab: Lab, words: tuple[str, ...], new: tuple[str, ...]) -> None:
    """CALE-07, in words of CALE."""
    url = lab.server.cale_url
    for wrong in (url.replace("https", "http"), "localhost:8443", url + "/x", url + "?x"):
        line = lab.cli.fails(2, *words, *lab.login, *new, "--url", wrong)
        assert "CALE runs over https only" in line or "an edge device is an origin" in line
        assert "EST" not in line
    assert list(lab.state.glob("cale/**/*.json")) == []


def test_forgetting_says_what_stays(lab: Lab, words: tuple[str, ...], new: tuple[str, ...]) -> None:
    lab.cli.ok(*words, *lab.login, *new)
    (lab.keys / "cale.pem").unlink()
    lab.key("cale")
    done = lab.cli.ok("cale", "forget", "--state", lab.state)
    assert (done.out, "it was left there" in done.err) == ("no key was destroyed\n", True)
    assert (lab.keys / "cale.pem").exists()


def test_a_damaged_neighbour_is_shown_and_can_be_replaced(
    lab: Lab, words: tuple[str, ...], new: tuple[str, ...]
) -> None:
    """CALE-13: list, show, forget and register go on for the others; the damaged one is named with what helps."""
    state = ("--state", lab.state)
    lab.cli.ok(*words, *lab.login, *new)
    broken = lab.state / "cale" / "b.json"
    broken.write_text("{")
    assert "b: damaged: " in lab.cli.ok("cale", "list", *state).out
    listed = lab.cli.ok("cale", "list", *state, "--json").json
    assert (list(listed["registrations"]), list(listed["damaged"])) == (["default"], ["b"])
    assert listed["damaged"]["b"][0]["path"] == str(broken)
    assert "b.json" in lab.cli.ok("show", *state).out
    again = lab.cli.ok(*words, *lab.login, "--again")
    assert "a damaged registration may name it" in again.err
    assert list((lab.state / "cale" / "under-way").iterdir()) == []
    said = lab.cli.fails(9, "cale", "get", "/resource", *state, "--application", "b")
    assert "device-sdk cale register --again --application b" in said
    b = ("--application", "b")
    assert "give --key URI" in lab.cli.fails(2, *words, *lab.login, *b, "--again")
    key = ("--key", f"file:{lab.keys}/b.pem", "--type", "ec-p256")
    assert "b.json" in lab.cli.ok(*words, *lab.login, *b, *key, "--again").err
    assert _read(lab, *b) == '{"foo": "bar"}\n'
    broken.write_text("{")
    assert "is not needed any more" in lab.cli.ok("cale", "forget", *state, *b).err
    assert not broken.exists()
