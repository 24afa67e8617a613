"""/tamp and /tamp/return of the reference server (RFC 8295 section 7; T-02, TR-03, TR-04, TR-05)."""

from __future__ import annotations

import json
import ssl
import subprocess

import pytest
from device_sdk_simulators.cli.main import main
from device_sdk_simulators.packages.signing import Oddities
from device_sdk_simulators.packages.tamp import messages
from device_sdk_simulators.packages.tamp.authority import TampAuthority
from device_sdk_simulators.packages.tamp.kinds import KINDS, QUERY, UPDATE
from device_sdk_simulators.packages.tamp.making import unsigned_message
from device_sdk_simulators.packages.tamp.publishing import Delivery, Draft, publish
from device_sdk_simulators.packages.tamp.targets import all_modules, reference
from device_sdk_simulators.server import ReferenceServer
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc5934

from tests.simulators.packages.raw_device import Device, ask, confirm, enrolled, error, reference_of, renewed
from tests.simulators.server.support import client_context

WORDS = {
    "query": (),
    "update": ("--add", "identity", "--remove", "management"),
    "apex-update": (),
    "community-update": ("--leave-all", "--join", "1.2.3"),
    "sequence-adjust": (),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    with ReferenceServer(tmp_path_factory.mktemp("tamp") / "server") as running:
        yield running


@pytest.fixture
def device(server: ReferenceServer, request: pytest.FixtureRequest) -> Device:
    return enrolled(server, f"device-{request.node.name[:40]}")


@pytest.fixture
def published(server: ReferenceServer, capsys: pytest.CaptureFixture[str]):
    def publish(to: Device, message: str, *words: str) -> str:
        command = ["publish", "tamp", message, "--to", to.serial, "--state", str(server.state), "--json"]
        capsys.readouterr()
        assert main([*command, *words]) == 0
        found: dict[str, str] = json.loads(capsys.readouterr().out)
        assert found["place"] == f"tamp/{found['item']}"
        return found["item"]

    return publish


@pytest.mark.parametrize("message", WORDS)
def test_t_02_tr_05_the_message_its_answer_and_the_list(server, device, published, message: str) -> None:
    """T-02, TR-03, P-09: the type of the message; an entry that asks, from delivery to the answer; 204 and empty."""
    kind = KINDS[message]
    item = published(device, message, *WORDS[message])
    (entry,) = device.entries()
    assert (entry["type"], entry["info"]["uri"].rpartition("/")[2]) == (kind.entry, item)
    status, media, body = device.get(f"tamp/{item}")
    assert (status, media) == (200, kind.media)
    assert entry["size"] == len(body), "AMB-09"
    assert device.get("tamp") == (200, kind.media, body)
    assert device.types() == [kind.entry, kind.wanted]
    assert device.entries()[1]["size"] == 0
    content_type, answered, content = confirm(body, *[0] * (2 if message == "update" else 1))
    assert device.post(device.signed(content_type, content), answered) == (204, "", b"")
    assert device.types() == []
    assert device.get("tamp")[0] == 404, "AMB-22"
    assert device.get(f"tamp/{item}")[2] == body, "what was answered can still be had by name"


def test_amb_05_application_cms(server, device, published) -> None:
    published(device, "query")
    server.policy.tamp_as_cms = True
    try:
        assert device.get("tamp")[1] == "application/cms"
    finally:
        server.policy.tamp_as_cms = False
    content_type, _, content = confirm(device.get("tamp")[2])
    assert device.post(device.signed(content_type, content), "application/cms")[0] == 204


def test_g_01_for_those_it_was_published_to(server, device, published) -> None:
    """Nobody else gets it, and nobody without a name anything."""
    item, other = published(device, "query"), enrolled(server, "somebody")
    assert other.get(f"tamp/{item}")[0] == other.get("tamp")[0] == 404
    assert ask(server, client_context(server), "GET", "tamp")[0] == 401
    assert ask(server, client_context(server), "POST", "tamp/return", b"x", media="application/tamp-error")[0] == 401
    assert device.get("tamp/return")[0] == 405
    assert device.post(b"x", "application/tamp-error", "tamp")[0] == 405


def test_messages_come_in_the_order_of_their_numbers(device, published) -> None:
    """T-07: a later one would make the one before worthless; P-16 does not put it first."""
    items = [published(device, "query"), published(device, "update", "--add", "identity")]
    device.get(f"tamp/{items[0]}")
    assert device.types() == ["0028", "0030", "0029"]
    assert device.get("tamp")[2] == device.get(f"tamp/{items[0]}")[2]


def refusals(device: Device, other: Device, message: bytes) -> dict[str, tuple[int, bytes, str]]:
    """What /tamp/return refuses: with which status, and which body and media type it came."""
    kind_oid, media, content = confirm(message, 0, 0)
    ref = reference_of(message)
    elsewhere = reference(all_modules(), 4711)
    unknown_type = error(UPDATE, 21, elsewhere)
    success, odd_status = error(UPDATE, 0, ref), error(UPDATE, 39, ref)
    stranger = error(QUERY, 21, ref)
    version = rfc5934.TAMPError()
    version["version"], version["msgType"], version["status"] = 1, UPDATE.content_type, 21
    return {
        "TR-03 unsigned": (403, unsigned_message(content, kind_oid), media),
        "TR-03 unsigned, as octets": (403, unsigned_message(content, kind_oid, as_octets=True), media),
        "TR-03 signed by another device": (403, other.signed(kind_oid, content), media),
        "TR-03 signed by nobody": (403, device.signed(kind_oid, content, Oddities(signers=0)), media),
        "TR-03 signature broken": (403, device.signed(kind_oid, content, Oddities(broken=True)), media),
        "TR-03 digest of something else": (403, device.signed(kind_oid, content, Oddities(wrong_digest=True)), media),
        "TR-03 two signers": (400, device.signed(kind_oid, content, Oddities(signers=2)), media),
        "TR-03 another content type signed": (400, device.signed(kind_oid, content, Oddities(signed_type="1.2.3")), media),
        "TR-04 one status for two updates": (400, device.signed(kind_oid, confirm(message, 0)[2]), media),
        "TR-04 three statuses": (400, device.signed(kind_oid, confirm(message, 0, 0, 0)[2]), media),
        "TR-04 another number": (404, device.signed(kind_oid, confirm(message, 0, 0, reference=elsewhere)[2]), media),
        "TR-04 an error, another number": (404, device.signed(unknown_type[0], unknown_type[2]), unknown_type[1]),
        "TR-04 an error about another message": (404, device.signed(stranger[0], stranger[2]), stranger[1]),
        "TR-04 an error that says success": (400, device.signed(success[0], success[2]), success[1]),
        "an unknown status": (400, device.signed(odd_status[0], odd_status[2]), odd_status[1]),
        "an unknown status among others": (400, device.signed(kind_oid, confirm(message, 0, 39)[2]), media),
        "version 1": (400, device.signed(success[0], bytes(encode(version))), success[1]),
        "the type of another answer": (415, device.signed(kind_oid, content), "application/tamp-error"),
        "no type of this kind": (415, device.signed(kind_oid, content), "application/octet-stream"),
        "the message itself": (400, message, "application/tamp-update"),
        "something behind it": (400, device.signed(kind_oid, content) + b"\0", media),
        "something behind what is signed": (400, device.signed(kind_oid, content + b"\0"), media),
        "nothing": (400, b"", media),
        "no ASN.1": (400, b"hello", media),
    }  # fmt: skip


def test_tr_03_tr_04_what_is_not_taken_back(server, device, published) -> None:
    """Each with text/plain, and nothing of it is kept; the right one is taken afterwards, also if it comes twice."""
    other = enrolled(server, "another")
    published(device, "update", *WORDS["update"])
    message = device.get("tamp")[2]
    for what, (status, body, media) in refusals(device, other, message).items():
        got, kind, text = device.post(body, media)
        assert (got, kind.partition(";")[0]) == (status, "text/plain"), (what, text)
    kind_oid, media, content = confirm(message, 0, 20)
    assert other.post(other.signed(kind_oid, content), media)[0] == 404, "not sent to that one"
    book = server.est.packages.tamp
    mine = lambda: [one for one in book.overview() if device.serial in one["sent_by"]]  # noqa: E731
    assert mine() == []
    for _ in range(2):
        assert device.post(device.signed(kind_oid, content), media)[0] == 204
    assert [(one["answer"], one["statuses"]) for one in mine()] == [("confirm", [0, 20])], (
        "a lost 204 is no second answer"
    )


def test_tr_04_an_answer_before_the_message_was_sent(device, published, server) -> None:
    """Numbers can be guessed."""
    item = published(device, "query")
    row = server.est.packages.shelf._database.row("SELECT content FROM packages WHERE item = ?", item)
    kind_oid, media, content = confirm(bytes(row["content"]))
    assert device.post(device.signed(kind_oid, content), media)[0] == 404
    device.get("tamp")
    assert device.post(device.signed(kind_oid, content), media)[0] == 204


def test_tr_02_errors_and_unsigned_answers_by_policy(server, device, published) -> None:
    """An error without a reference is about the message that waits; who cannot sign is listened to if policy says so."""
    published(device, "update", "--add", "identity")
    device.get("tamp")
    kind_oid, media, content = error(UPDATE, 29)
    assert device.post(device.signed(kind_oid, content), media)[0] == 204
    assert device.types() == []
    published(device, "query")
    kind_oid, media, content = confirm(device.get("tamp")[2])
    server.policy.tamp_unsigned = True
    try:
        assert device.post(unsigned_message(content, kind_oid, as_octets=True), media)[0] == 204
        broken = device.signed(kind_oid, content, Oddities(broken=True))
        assert device.post(broken, media)[0] == 403, "what is signed is verified all the same"
    finally:
        server.policy.tamp_unsigned = False


def test_an_answer_signed_before_the_renewal(server, device, published) -> None:
    """It may have waited in the device while its certificate was renewed."""
    published(device, "query")
    kind_oid, media, content = confirm(device.get("tamp")[2])
    assert renewed(device).post(device.signed(kind_oid, content), media)[0] == 204


def test_tr_03_an_answer_that_openssl_signed(device, published, tmp_path) -> None:
    """Named by key identifier, and by issuer and serial number; with the certificate, and without."""
    device.write_pair(tmp_path / "device.pem")
    for words in (("-keyid", "-nocerts"), ()):
        published(device, "query")
        kind_oid, media, content = confirm(device.get("tamp")[2])
        (tmp_path / "content").write_bytes(content)
        command = ["openssl", "cms", "-sign", "-binary", "-nodetach", "-in", "content", "-signer", "device.pem"]
        command += ["-econtent_type", kind_oid, "-outform", "DER", "-out", "answer", *words]
        subprocess.run(command, cwd=tmp_path, check=True, timeout=30)
        assert device.post((tmp_path / "answer").read_bytes(), media)[0] == 204


def test_t_06_an_unknown_message(server, device) -> None:
    """For those who have to refuse it: a type that RFC 5934 does not have, and then an error about that type."""
    authority, database = TampAuthority(server.state, server.clock()), server.est.packages.shelf._database
    draft = Draft(QUERY, messages.status_query, all_modules(), updates=0)
    address = f"cert:{device.serial}"
    strange = f"{QUERY.content_type}.1"
    publish(database, draft, authority.signer("apex"), Delivery(address, "", server.clock()), content_type=strange)
    assert bytes(encode(univ.ObjectIdentifier(strange))) in device.get("tamp")[2]
    kind_oid, media, content = error(strange, 18)
    assert device.post(device.signed(kind_oid, content), media)[0] == 204
    assert device.types() == []


def test_who_has_what(server, device, published, capsys) -> None:
    """`tamp devices` and `packages` show what a device said."""
    published(device, "query")
    kind_oid, media, content = confirm(device.get("tamp")[2])
    device.post(device.signed(kind_oid, content), media)
    assert main(["tamp", "devices", "--state", str(server.state), "--json"]) == 0
    (mine,) = [one for one in json.loads(capsys.readouterr().out) if device.serial in one["device"]]
    assert mine["anchors"] == ["01" * 20, "02" * 20]
    assert (mine["apex"], mine["communities"]) == (True, ["1.2.3"])
    assert main(["packages", "--state", str(server.state), "--json"]) == 0
    (row,) = [one for one in json.loads(capsys.readouterr().out) if device.serial in one["published_to"]]
    assert (row["report"], row["returned"][0]["answer"]) == ("answered", "response")
    published(device, "update", "--add", "identity")
    kind_oid, media, content = confirm(device.get("tamp")[2], 20)
    device.post(device.signed(kind_oid, content), media)
    assert main(["packages", "--state", str(server.state)]) == 0
    shown = capsys.readouterr().out
    assert "answers about trust anchors:" in shown
    assert "refused (20)" in shown
    assert main(["tamp", "devices", "--state", str(server.state)]) == 0
    shown = capsys.readouterr().out
    assert "communities: 1.2.3" in shown
    assert "01" * 20 in shown


def test_it_goes_on_after_a_restart(tmp_path, capsys) -> None:
    """T-07: what was sent and what waits for an answer, numbers, and which apex a device has now."""

    def publish(to: Device, *words: str) -> None:
        assert main(["publish", "tamp", *words, "--to", to.serial, "--state", str(tmp_path / "server")]) == 0

    with ReferenceServer(tmp_path / "server") as first:
        device = enrolled(first, "dev-1")
        publish(device, "apex-update")
        message = device.get("tamp")[2]
    with ReferenceServer(tmp_path / "server") as second:
        device = Device(second, device.certificate, device.key)
        assert device.types() == ["0032", "0033"]
        kind_oid, media, content = confirm(message, 0)
        assert device.post(device.signed(kind_oid, content), media)[0] == 204
        publish(device, "query")
        publish(device, "update", "--by", "apex", "--add", "identity")
        publish(device, "apex-update")
        publish(device, "query")
        by_newest = [one["about"] for one in book_rows(second) if "by apex-3" in str(one["about"])]
        assert by_newest == ["query 5 by apex-3 for all modules"], "it comes after the update that still waits"
        by_new, by_old = (
            [one["about"] for one in book_rows(second) if word in one["about"]] for word in ("apex-2", "by apex for")
        )
        assert by_new == ["query 2 by apex-2 for all modules", "apex-update 4 by apex-2 for all modules"], (
            "the apex it has now is who signs"
        )
        assert by_old == ["apex-update 1 by apex for all modules", "update 3 by apex for all modules"]


def test_who_signs_after_an_apex_update(server, device, published) -> None:
    """The new one, unless the device refused it, or nobody was sent it."""
    book, address = server.est.packages.tamp, f"cert:{device.serial}"
    assert book.apex_of(address) == ""
    item = published(device, "apex-update")
    first = book.apex_of(address)
    assert first.startswith("apex-")
    assert main(["withdraw", item, "--state", str(server.state)]) == 0
    assert book.apex_of(address) == ""
    published(device, "apex-update", "--by", "apex")
    message = device.get("tamp")[2]
    assert book.apex_of(address) not in ("", first)
    kind_oid, media, content = confirm(message, 21)
    assert device.post(device.signed(kind_oid, content), media)[0] == 204
    assert book.apex_of(address) == ""


def test_an_answer_whose_204_is_lost(server, device, published) -> None:
    """It is sent again, and is one answer; faults tell the message from what comes back for it."""
    published(device, "query")
    server.faults.parse("status=503*1@tamp/return")
    kind_oid, media, content = confirm(device.get("tamp")[2])
    body = device.signed(kind_oid, content)
    assert device.post(body, media)[0] == 503
    assert device.types() == ["0028", "0029"]
    server.faults.parse("reset*1@tamp/return")
    with pytest.raises((ConnectionError, ssl.SSLError)):
        device.post(body, media)
    assert device.types() == []
    assert device.post(body, media)[0] == 204
    assert len([one for one in server.est.packages.tamp.overview() if device.serial in one["sent_by"]]) == 1


def test_withdrawn_and_still_answered(server, device, published) -> None:
    """Who was sent a message may answer it when nobody else gets it any more."""
    item = published(device, "query")
    message = device.get("tamp")[2]
    assert main(["withdraw", item, "--state", str(server.state)]) == 0
    assert device.get(f"tamp/{item}")[0] == 404
    assert device.types() == []
    kind_oid, media, content = confirm(message)
    assert device.post(device.signed(kind_oid, content), media)[0] == 204


def test_a_target_for_each_kind_of_option(device, published) -> None:
    """T-06, on the command line."""
    words = {
        "hwModules": ("--hw-type", "1.2.3", "--hw-serial", "00-ff"),
        "communities": ("--community", "1.2.3"),
        "uri": ("--uri", "urn:example:store"),
        "otherName": ("--other-name", "1.2.3=0500"),
        "allModules": (),
    }
    for kind, options in words.items():
        item = published(device, "query", *options)
        assert reference_of(device.get(f"tamp/{item}")[2])["target"].getName() == kind


def book_rows(server: ReferenceServer) -> list[dict[str, object]]:
    return [dict(row) for row in server.est.packages.shelf._database.rows("SELECT about FROM tamp_messages")]
