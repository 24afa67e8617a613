"""Messages about trust anchors over TLS from the reference server, to devices with keys of every kind (RFC 8295 section 7)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from device_sdk_simulators.cli.main import main as sim
from device_sdk_simulators.server import ReferenceServer

from device_sdk.cli.main import main
from device_sdk.client.device import Device, EnrolmentPlan
from device_sdk.errors import TampRefusedError
from device_sdk.model.credentials import Credentials
from device_sdk.model.csr import CsrSpec
from device_sdk.model.secret import Secret

HARDWARE = "1.3.6.1.4.1.32473.1"


@dataclass
class Managed:
    """A device, its server, and what the server's managers say."""

    server: ReferenceServer
    device: Device
    plan: EnrolmentPlan
    capsys: pytest.CaptureFixture[str]

    def publish(self, message: str, *words: str) -> str:
        serial = f"{self.device.certificate.serial_number:x}"
        found = self.sim("publish", "tamp", message, "--to", serial, *words)
        place: str = found["place"]
        return f"/.well-known/est/{place}"

    def sim(self, *words: str) -> dict[str, str]:
        self.capsys.readouterr()
        assert sim([*words, "--state", str(self.server.state), "--json"]) == 0
        answer: dict[str, str] = json.loads(self.capsys.readouterr().out)
        return answer

    def cli(self, *words: str, code: int = 0) -> dict:
        self.capsys.readouterr()
        assert main([*words, "--state", str(self.device.state.path), "--json"]) == code
        shown = self.capsys.readouterr()
        return json.loads(shown.out or shown.err)

    def said(self) -> list[tuple[str, list[int]]]:
        """What this device's answers were, oldest first."""
        return [
            (entry["answer"], list(entry["statuses"])) for entry in self.server.log() if entry.get("answer") is not None
        ]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    with ReferenceServer(tmp_path_factory.mktemp("tamp") / "server") as running:
        yield running


@pytest.fixture(scope="module")
def factory(server: ReferenceServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What devices have from the factory."""
    out = tmp_path_factory.mktemp("factory")
    assert sim(["tamp", "anchors", "--out", str(out), "--state", str(server.state)]) == 0
    return out


@pytest.fixture
def managed(server: ReferenceServer, factory: Path, tmp_path: Path, capsys) -> Callable[[str], Managed]:
    def make(uri: str) -> Managed:
        device = Device(tmp_path / "state")
        plan = EnrolmentPlan(
            url=server.url,
            key_uri=uri,
            spec=CsrSpec(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "router-7")])),
            anchors=tuple(x509.load_pem_x509_certificates(server.ca_file.read_bytes())),
            credentials=Credentials(server.user or "", Secret(server.password)),
        )
        device.enroll(plan)
        found = Managed(server, device, plan, capsys)
        found.cli(
            "anchors", "import", str(factory / "apex.der"), "--role", "apex", "--hw-type", HARDWARE, "--hw-serial", "17"
        )
        found.cli("anchors", "import", str(factory / "management.pem"))
        return found

    return make


@pytest.fixture
def device(managed: Callable[[str], Managed], tmp_path: Path) -> Managed:
    return managed(f"file:{tmp_path}/device.pem")


def everything(found: Managed) -> None:
    """All five messages, by anchors and by a certificate; what the device is afterwards, and what its server knows of it."""
    before = len(found.said())
    found.publish("query")
    found.publish("update", "--add", "identity", "--by", "management", "--by-path")
    found.publish("community-update", "--join", "1.2.3")
    found.publish("sequence-adjust", "--by", "management")
    messages = [found.cli("est", "tamp")["message"] for _ in range(4)]
    assert messages == [
        "trust anchor status query",
        "trust anchor update",
        "community update",
        "sequence number adjustment",
    ]
    assert found.cli("est", "tamp") == {"message": None}
    assert [statuses for _, statuses in found.said()[before:]][1:] == [[0], [0], [0]]
    listed = found.cli("anchors", "list")
    assert [(one["role"], one["managed"]) for one in listed["anchors"]] == [
        ("apex", True),
        ("management", True),
        ("identity", True),
        ("identity", False),
    ]
    assert (listed["communities"], listed["generation"]) == (["1.2.3"], 6)
    names = [one.subject.rfc4514_string() for one in found.device.anchors]
    assert names == ["CN=Reference Root CA", "CN=Reference identity trust anchor"]
    kept = x509.load_pem_x509_certificates(found.device.state.anchors_file.read_bytes())
    assert tuple(kept) == found.device.anchors
    assert found.device.state.check() == ()
    assert found.device.state.outbox.pending() == ()


@pytest.mark.slow
def test_t_01_tr_01_a_key_in_a_file(device: Managed) -> None:
    everything(device)


@pytest.mark.slow
def test_t_01_tr_02_a_key_in_a_token(managed, softhsm_token) -> None:
    everything(managed(softhsm_token.uri_of("device")))


@pytest.mark.slow
def test_t_01_tr_02_a_key_in_a_tpm(managed, swtpm, tmp_path: Path) -> None:
    everything(managed(f"tpm2:file={tmp_path}/device.pem?tcti={swtpm.tcti}"))


@pytest.mark.slow
def test_t_07_tr_04_a_replayed_message_is_refused_and_told(device: Managed) -> None:
    """After a restart, too: the number is on disk."""
    place = device.publish("update", "--add", "identity")
    assert device.cli("est", "tamp", "--place", place)["failed"] is False
    state = device.device.state.managed.file.read_bytes()
    error = device.cli("est", "tamp", "--place", place, code=6)["error"]
    assert (error["code"], error["status"], error["reported"]) == ("tamp-refused", 21, True)
    assert device.said()[-1] == ("error", [21])
    assert device.device.state.managed.file.read_bytes() == state


@pytest.mark.slow
def test_t_08_what_is_not_done_is_said(device: Managed) -> None:
    """One of two updates is not done: the answer has both statuses, the exit code says it, a dry run says it before."""
    place = device.publish("update", "--add", "identity", "--remove", "apex")
    state = device.device.state.managed.file.read_bytes()
    planned = device.cli("est", "tamp", "--plan", "--place", place, code=1)
    assert device.device.state.managed.file.read_bytes() == state
    said = device.said()
    done = device.cli("est", "tamp", "--place", place, code=1)
    assert [one["status"] for one in done["results"]] == [0, 19]
    assert planned["results"] == done["results"]
    assert device.said() == [*said, ("confirm", [0, 19])]


@pytest.mark.slow
def test_t_04_t_14_strangers_and_identity_anchors(device: Managed) -> None:
    for words, status in ((("--by", "identity"), 10), (("--by", "apex-9"), 10)):
        if "apex-9" in words:
            device.sim("tamp", "make", "apex-9")
        place = device.publish("query", *words)
        with pytest.raises(TampRefusedError) as caught:
            device.device.manage_anchors(place)
        assert (caught.value.status, caught.value.reported) == (status, True)
        assert place in str(caught.value)


@pytest.mark.slow
def test_t_10_a_new_apex_by_either_key(device: Managed) -> None:
    """The contingency key of the first apex signs for the second one, which signs the next message."""
    device.publish("apex-update", "--contingency")
    assert device.cli("est", "tamp")["failed"] is False
    apexes = [one for one in device.cli("anchors", "list")["anchors"] if one["role"] == "apex"]
    assert [one["name"] for one in apexes] == ["CN=Reference apex-2 trust anchor"] or len(apexes) == 1
    device.publish("query", "--by", "apex")
    with pytest.raises(TampRefusedError):
        device.device.manage_anchors()


@pytest.mark.slow
def test_tr_05_sync_does_what_the_list_says_once(device: Managed) -> None:
    """PAL 0028 to 0037: messages are done and answered; what the server still offers is not done again, and told again if asked."""
    device.publish("query")
    device.publish("update", "--add", "identity", "--by", "management")
    before = len(device.said())
    report = device.cli("sync")
    mine = [one for one in report["steps"] if one["type"] >= "0028"]
    assert [(one["type"], one["outcome"]) for one in mine] == [("0028", "done"), ("0030", "done")], mine
    assert len(device.said()) - before == 2
    assert device.device.state.managed.load().generation == 4
    again = device.cli("sync")
    assert [one for one in again["steps"] if one["type"] >= "0028"] == []
    assert device.device.state.outbox.pending() == ()


@pytest.mark.slow
def test_amb_20_who_manages_the_device_signs_its_firmware(device: Managed, tmp_path: Path) -> None:
    """RFC 5934 section 1.2.2: firmware is validated to an anchor for management, of which none has to be named again."""
    image, installed = tmp_path / "image", tmp_path / "installed"
    image.write_bytes(b"firmware")
    serial = f"{device.device.certificate.serial_number:x}"
    words = ("--to", serial, "--package", "1.2.3", "--hw-type", HARDWARE, "--package-version", "1")
    device.sim("publish", "firmware", str(image), *words)
    sync = ("sync", "--firmware-out", str(installed), "--firmware-hardware-type", HARDWARE, "--no-firmware-returns")
    refused = [one for one in device.cli(*sync, code=1)["steps"] if one["type"] == "0026"]
    assert refused[0]["outcome"] == "failed"
    device.cli("anchors", "import", str(device.server.state / "firmware-ca" / "anchors.pem"))
    assert [one["outcome"] for one in device.cli(*sync)["steps"] if one["type"] == "0026"] == ["done"]
    assert installed.read_bytes() == b"firmware"
    exported = device.cli("anchors", "export", "--role", "management", "--out", str(tmp_path / "managers.pem"))
    names = [one["subject"] for one in exported["anchors"]]
    assert len(names) == len(x509.load_pem_x509_certificates((tmp_path / "managers.pem").read_bytes())) == 2
    gone = device.cli("anchors", "list")["anchors"][-2]
    assert [one["key_id"] for one in device.cli("anchors", "remove", gone["key_id"])["removed"]] == [gone["key_id"]]
    assert "no anchor here" in device.cli("anchors", "remove", gone["key_id"], code=2)["error"]["message"]


@pytest.mark.slow
def test_the_owner_enrols_a_device_that_messages_cut_off(device: Managed) -> None:
    """Whom the owner names is trusted again, although a message removed it."""
    device.publish("apex-update", "--clear-anchors")
    noted = device.cli("est", "tamp")["notes"]
    assert "no trust anchor is left" in noted[0]
    assert device.device.anchors == ()
    checks = {one["check"]: one["status"] for one in device.cli("doctor", code=1)["checks"]}
    assert checks["trust-anchors"] == "failed"
    plan = device.plan
    device.device.enroll(dataclasses.replace(plan, again=True, key_uri=plan.key_uri.replace("device.pem", "again.pem")))
    assert [one.subject.rfc4514_string() for one in device.device.anchors] == ["CN=Reference Root CA"]
    device.device.refresh_anchors()
