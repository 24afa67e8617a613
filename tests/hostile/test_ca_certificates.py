"""Servers that are who they should be and whose CA certificates are not to be relied on: EST-112, EST-114, EST-117, EST-120, EST-123."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk.client.device import Device, EnrolmentPlan
from device_sdk.errors import (
    CertificateMismatchError,
    HttpStatusError,
    RemoteProtocolError,
    ServerNotAuthorizedError,
    ServerNotTrustedError,
)
from device_sdk.model.credentials import Credentials
from device_sdk.model.secret import Secret
from tests.est.answers import SPEC, bag, csr_of, issue
from tests.est.pki import DAY, NOW, Ca, certs_only, make, name, new_key, one_line, server_certificate
from tests.est.scripted_server import Handler, Reply, Seen, http, pkcs7
from tests.hostile.case import Attack, Case, carry_out, table
from tests.hostile.conftest import PASSWORD, PATIENT, Lab
from tests.hostile.host import Host

MISMATCH = CertificateMismatchError
UNKNOWN = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00"), True)
SIGNS_ONLY_DATA = x509.KeyUsage(True, False, False, False, False, False, False, False, False)


def status(code: int) -> Attack:
    """The right CA certificates, and a status that says that they are none."""

    def attack(host: Host) -> None:
        body, media = one_line(certs_only(host.ca.certificate)), ("Content-Type", "application/pkcs7-mime")
        host.answer(cacerts=lambda _seen: http(code, body, media))

    return attack


def _issue_by(host: Host, issuer: Ca, *shown: x509.Certificate) -> None:
    """The certificate comes with its chain, and /cacerts has the chain, too."""

    def answer(seen: Seen) -> Reply:
        return pkcs7(one_line(certs_only(issuer.certify_csr(csr_of(seen)), *shown)))

    host.answer(cacerts=bag(*shown), simplereenroll=answer)


def shown_only(host: Host) -> None:
    """The CA that has expired is in /cacerts alone."""
    middle = host.ca.issue_ca("Middle", not_before=NOW - 9 * DAY, not_after=NOW - DAY)
    host.answer(cacerts=bag(host.ca.certificate, middle.certificate), simplereenroll=issue(middle))


def below(*, depth: int = 1, **options) -> Attack:
    """Issued by a CA below the anchor, which /cacerts shows, and which is not as it should be."""

    def attack(host: Host) -> None:
        chain = [host.ca]
        for number in range(depth):
            chain.append(chain[-1].issue_ca(f"Middle {number}", **options))
        _issue_by(host, chain[-1], *(one.certificate for one in chain))

    return attack


def by_a_device(host: Host) -> None:
    """Issued by a device's certificate, which /cacerts shows as if it were a CA's."""
    key = new_key()
    thief = Ca(key, host.ca.certify("device 2", key.public_key()))
    _issue_by(host, thief, host.ca.certificate, thief.certificate)


def by_a_new_root(**options) -> Attack:
    """Issued by a new root of the CA's name, and the certificate that should vouch for it is not one of a CA."""

    def attack(host: Host) -> None:
        new, subject = Ca.root("EST root"), host.ca.certificate.subject
        link = make(subject, new.key.public_key(), subject, host.ca.key, **options)
        _issue_by(host, new, host.ca.certificate, new.certificate, link)

    return attack


def excluding(*names: x509.GeneralName):
    return [(x509.NameConstraints(permitted_subtrees=None, excluded_subtrees=list(names)), True)]


CASES = [
    *(Case("EST-114", f"{code} with the right certificates", status(code), HttpStatusError, str(code))
      for code in (201, 202, 203, 206, 304, 400, 404, 500)),
    Case("EST-117", "the CA below has expired", below(not_before=NOW - 9 * DAY, not_after=NOW - DAY), MISMATCH, "expired"),
    Case("EST-117", "the CA below has expired and is in /cacerts alone", shown_only, MISMATCH,
         "not used (CN=Middle: expired"),
    Case("EST-117", "the CA below begins tomorrow", below(not_before=NOW + DAY), MISMATCH, "not valid before"),
    Case("EST-117", "the CA below may not sign certificates", below(usage=SIGNS_ONLY_DATA), MISMATCH, "keyCertSign"),
    Case("EST-117", "the CA below has an unknown critical extension", below(extensions=[UNKNOWN]), MISMATCH, "critical extension"),
    Case("EST-117", "a policy constraint on the CA below", below(extensions=[(x509.PolicyConstraints(0, None), True)]), MISMATCH,
         "no certificate policy holds along its whole path, and one is required (ask the CA's operator)"),
    Case("EST-117", "more CAs than the path length allows", below(depth=2, path_length=0), MISMATCH, "allows 0 CAs"),
    Case("EST-117", "the CA below is not for this device", below(extensions=excluding(x509.DirectoryName(name("device 1")))),
         MISMATCH, "limits the names below it (name constraints): ask for other names"),
    Case("EST-117", "the CA below is a device", by_a_device, MISMATCH, "not a CA certificate"),
    Case("EST-123", "a cross certificate that is not one of a CA", by_a_new_root(), MISMATCH, "not a CA certificate"),
    Case("EST-123", "a cross certificate without KeyUsage",
         by_a_new_root(extensions=[(x509.BasicConstraints(True, None), True)]), MISMATCH, "without KeyUsage"),
    Case("EST-123", "a cross certificate without keyCertSign", by_a_new_root(ca=True, usage=SIGNS_ONLY_DATA), MISMATCH,
         "keyCertSign"),
]  # fmt: skip


@table(CASES)
def test_wrong_ca_certificates(lab: Lab, case: Case) -> None:
    before = lab.device.anchors
    carry_out(lab, case)
    lab.assert_no_credential_left()
    assert lab.device.anchors == before


def test_the_tables_own_honesty(lab: Lab) -> None:
    """The same with nothing wrong renews; so what refuses above is what the case says."""
    for attack in (below(), below(depth=2, path_length=1)):
        attack(lab.host)
        assert lab.device.renew(lab.plan()).changed


@pytest.mark.parametrize("fault", ["a stranger's CA", "another host"])
def test_est_112_no_ca_certificates_from_a_server_that_is_not_authorized(lab: Lab, fault: str) -> None:
    """What it has to give would be believed otherwise: a new root that the right CA vouches for."""
    by_a_new_root(ca=True)(lab.host)
    signer, at = (Ca.root("Stranger"), "127.0.0.1") if fault == "a stranger's CA" else (lab.ca, "127.0.0.2")
    lab.host.show(*server_certificate(signer, at))
    before, state = lab.device.anchors, lab.snapshot()
    with pytest.raises((ServerNotTrustedError, ServerNotAuthorizedError)):
        lab.device.refresh_anchors(lab.plan())
    assert (lab.device.anchors, lab.snapshot()) == (before, state)
    assert lab.host.received == b""


def other_roots(number: int, **options) -> Handler:
    return bag(*(Ca.root(f"Root {one}", **options).certificate for one in range(number)))


NO_ANCHOR: dict[str, tuple[Handler, str]] = {
    "an empty bag": (bag(), "no certificate"),
    "no root": (bag(Ca.root("Root").issue_ca("Middle").certificate), "no self-signed CA certificate"),
    "a root that has expired": (
        other_roots(1, not_before=NOW - 9 * DAY, not_after=NOW - DAY),
        "no self-signed CA certificate",
    ),
    "a root that is not one of a CA": (other_roots(1, usage=SIGNS_ONLY_DATA), "no self-signed CA certificate"),
    "two unrelated roots": (other_roots(2), "unrelated roots"),
    "two roots of one name": (bag(*(Ca.root("Root").certificate for _ in range(2))), "unrelated roots"),
}


@pytest.mark.parametrize("kind", NO_ANCHOR)
def test_est_120_no_anchor_to_take(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """A device that knows no anchor, at a server that the system's store vouches for: it asks for nothing more."""
    answer, says = NO_ANCHOR[kind]
    store = tmp_path / "store.pem"
    store.write_bytes(lab.ca.certificate.public_bytes(Encoding.PEM))
    monkeypatch.setenv("SSL_CERT_FILE", str(store))
    lab.host.answer(cacerts=answer)
    device, credentials = Device(tmp_path / "state"), Credentials("canary", Secret(PASSWORD))
    plan = EnrolmentPlan(url=lab.host.url, key_uri=f"file:{tmp_path}/device.pem", spec=SPEC, implicit=True,
                         credentials=credentials, timeouts=PATIENT)  # fmt: skip
    with pytest.raises(RemoteProtocolError, match=says):
        device.enroll(plan)
    assert lab.host.lines == ["GET /.well-known/est/cacerts"]
    lab.assert_no_credential_left()
    state = device.state.load()
    assert (state.current, state.anchors) == (None, None)
    assert not (tmp_path / "device.pem").exists()
