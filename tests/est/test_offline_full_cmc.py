"""Full CMC by messages carried by hand, against answers put together right and wrong in one way (EST-205 to EST-207)."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from cryptography import x509
from device_sdk_simulators.cmc.answer import Status

from device_sdk.client.est import EstClient
from device_sdk.client.est.full_cmc import PendingRequest
from device_sdk.client.est.offline import OfflineEst
from device_sdk.client.est.offline_full_cmc import OfflineFullCmc
from device_sdk.errors import (
    CertificateMismatchError,
    CmcPendingError,
    CmcRefusedError,
    CmcUntrustedError,
    ConfigurationError,
    DeviceSdkError,
    EnrolmentPendingError,
)
from device_sdk.model.trust import TlsIdentity
from device_sdk.protocols.est.full_cmc_carried import CarriedTransaction
from device_sdk.protocols.est.saved_answer import as_multipart, read_saved_answer
from tests.est.answers import SPEC, bag, trusting
from tests.est.full_cmc_answers import SHARED, CmcServer, request_of
from tests.est.pki import NOW, Ca, certs_only, new_key, one_line

URL = "https://est.example"
LATER = NOW + timedelta(minutes=5)


@dataclass
class Posted:
    """What CmcServer reads of a request."""

    body: bytes


@pytest.fixture
def by_hand(clock) -> OfflineFullCmc:
    return OfflineEst(URL, clock=clock).fullcmc


def answered(other_side: CmcServer, transaction: CarriedTransaction, *statuses: Status, **changes: object) -> bytes:
    signer = changes.pop("signer", None)
    answer = other_side.answer(Posted(transaction.request), *statuses, **changes)  # type: ignore[arg-type]
    return one_line(other_side.message(answer, signer=signer))  # type: ignore[arg-type]


def kept(transaction: CarriedTransaction) -> CarriedTransaction:
    """By way of the file."""
    again = CarriedTransaction.from_json(json.loads(json.dumps(transaction.to_json())))
    assert again == transaction
    return again


def test_est_205_the_message_is_that_of_the_network(by_hand, other_side, ca) -> None:
    key = new_key()
    transaction = kept(by_hand.enroll(key, SPEC, shared_secret=SHARED))
    request = by_hand.request(transaction)
    assert (request.method, request.url) == ("POST", f"{URL}/.well-known/est/fullcmc")
    assert request.body == transaction.request
    assert request_of(Posted(request.body)).transaction_id == transaction.transaction_id
    assert SHARED.secret.reveal() not in base64.b64decode(request.body)
    result = by_hand.read(answered(other_side, transaction), transaction, anchors=[ca.certificate])
    assert result.enrolled.certificate.public_key() == key.public_key()
    assert result.enrolled.differences == ()


def test_est_206_certificates_only_are_no_answer_by_file(by_hand, ca) -> None:
    """Any old certificate for the key would be one, of another name, or revoked: no nonce, no TLS server behind it."""
    key = new_key()
    transaction = by_hand.enroll(key, SPEC)
    for one in (ca.certify_csr(transaction.csr), ca.certify("another name", key.public_key())):
        with pytest.raises(CmcUntrustedError) as caught:
            by_hand.read(one_line(certs_only(one)), transaction, anchors=[ca.certificate])
        assert caught.value.reason == "unsigned"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"transaction_id": 1}, "transaction"),
        ({"transaction_id": None}, "transaction"),
        ({"recipient_nonce": bytes(16)}, "nonce"),
        ({"recipient_nonce": None}, "nonce"),
    ],
)
def test_section_6_6_answers_to_something_else(changes, reason, by_hand, other_side, ca) -> None:
    transaction = by_hand.enroll(new_key(), SPEC)
    with pytest.raises(CmcUntrustedError) as caught:
        by_hand.read(answered(other_side, transaction, **changes), transaction, anchors=[ca.certificate])
    assert caught.value.reason == reason


def test_est_206_who_signs(by_hand, other_side, ca) -> None:
    transaction = by_hand.enroll(new_key(), SPEC)
    for signer in (CmcServer.device(ca), CmcServer.speaker(Ca.root("Other"))):
        with pytest.raises(CmcUntrustedError) as caught:
            by_hand.read(answered(other_side, transaction, signer=signer), transaction, anchors=[ca.certificate])
        assert caught.value.reason == "signature"


def test_section_6_13_pending(by_hand, other_side, ca) -> None:
    """The token and the server's nonce go into the next message, the transaction stays; FullCmc reads what is kept."""
    key = new_key()
    transaction = by_hand.enroll(key, SPEC, shared_secret=SHARED)
    waits = Status(3, (1,), "a person decides", pend_token=b"token", pend_time=LATER)
    answer = answered(other_side, transaction, waits, certificates=[], sender_nonce=b"n" * 16)
    with pytest.raises(CmcPendingError) as caught:
        by_hand.read(answer, transaction, anchors=[ca.certificate])
    assert PendingRequest.from_json(caught.value.pending).token == b"token"
    left = CarriedTransaction.from_json(caught.value.pending)
    with pytest.raises(ConfigurationError, match="waits for an answer"):
        by_hand.request(left)
    with pytest.raises(ConfigurationError, match="another key"):
        by_hand.follow_up(left, new_key())
    asking = kept(by_hand.follow_up(left, key))
    full = request_of(Posted(asking.request))
    assert full.transaction_id == transaction.transaction_id
    assert full.request is None
    with pytest.raises(CmcUntrustedError):
        by_hand.read(answer, asking, anchors=[ca.certificate])
    issued = [ca.certify_csr(asking.csr)]
    done = by_hand.read(answered(other_side, asking, certificates=issued), asking, anchors=[ca.certificate])
    assert done.enrolled.certificate == issued[0]


def test_section_6_14_confirmation(by_hand, other_side, ca) -> None:
    key = new_key()
    transaction = by_hand.enroll(key, SPEC)
    answer = answered(other_side, transaction, Status(5, (1,)), sender_nonce=b"n" * 16)
    with pytest.raises(CmcPendingError, match="accepted") as caught:
        by_hand.read(answer, transaction, anchors=[ca.certificate])
    telling = kept(by_hand.follow_up(CarriedTransaction.from_json(caught.value.pending), key))
    with pytest.raises(CmcUntrustedError, match="nobody signed it"):
        by_hand.read(one_line(certs_only(*telling.issued)), telling, anchors=[ca.certificate])
    no = Status(2, (1,), fail_info=4)
    with pytest.raises(CmcRefusedError):
        by_hand.read(answered(other_side, telling, no, certificates=[]), telling, anchors=[ca.certificate])
    done = by_hand.read(answered(other_side, telling, certificates=[]), telling, anchors=[ca.certificate])
    assert done.enrolled.chain == telling.issued
    with pytest.raises(CertificateMismatchError):
        by_hand.read(
            answered(other_side, telling, certificates=[]),
            replace(telling, issued=(ca.certify("other", new_key().public_key()),)),
            anchors=[ca.certificate],
        )


@pytest.mark.parametrize("form", ["by hand", "over the network"])
def test_section_6_11_a_revocation_that_is_not_decided(form, by_hand, other_side, ca, serve, clock) -> None:
    """Not a refusal, and not a yes: nobody is told that the certificate is revoked."""
    key = new_key()
    identity = TlsIdentity((ca.certify("device 1", key.public_key()),), key)
    waits = Status(3, (1,), pend_token=b"token", pend_time=LATER)
    if form == "by hand":
        transaction = kept(by_hand.revoke(identity.chain[0], signer=identity))
        answer = answered(other_side, transaction, waits, certificates=[])
        with pytest.raises(EnrolmentPendingError, match="not decided about the revocation"):
            by_hand.read(answer, transaction, anchors=[ca.certificate])
        with pytest.raises(CmcUntrustedError, match="nobody signed it"):
            by_hand.read(one_line(certs_only(*identity.chain)), transaction, anchors=[ca.certificate])
        assert by_hand.read(answered(other_side, transaction), transaction, anchors=[ca.certificate]).enrolled is None
        return
    server = serve(cacerts=bag(ca.certificate), fullcmc=other_side.says(waits, certificates=[]))
    with (
        EstClient(server.url, trusting(ca), clock=clock) as client,
        pytest.raises(EnrolmentPendingError, match="not decided about the revocation"),
    ):
        client.fullcmc.revoke(identity.chain[0], signer=identity)


def test_mistakes(by_hand, ca) -> None:
    key = new_key()
    identity = TlsIdentity((ca.certify("device 1", key.public_key()),), key)
    for mistake in (
        lambda: by_hand.enroll(key, SPEC, shared_secret=SHARED, signer=identity),
        lambda: by_hand.revoke(identity.chain[0]),
        lambda: by_hand.revoke(identity.chain[0], "bored", signer=identity),
        lambda: by_hand.follow_up(by_hand.enroll(key, SPEC), key),
        lambda: by_hand.follow_up(by_hand.revoke(identity.chain[0], signer=identity), key),
    ):
        with pytest.raises(ConfigurationError):
            mistake()


def test_a_renewal_repeats_the_names(by_hand, other_side, ca) -> None:
    key, new = new_key(), new_key()
    current = TlsIdentity((ca.certify("device 1", key.public_key()),), key)
    transaction = by_hand.renew(new, current)
    assert x509.load_der_x509_csr(transaction.csr).subject == current.chain[0].subject
    done = by_hand.read(
        answered(other_side, transaction), transaction, anchors=[ca.certificate], renews=current.chain[0]
    )
    assert done.enrolled.certificate.public_key() == new.public_key()


def test_est_151_a_renewal_is_not_answered_by_what_it_renews(by_hand, other_side, ca) -> None:
    """The transaction has the old certificate, also when it went on after a "pending"; nobody has to name it again."""
    key = new_key()
    current = TlsIdentity((ca.certify("device 1", key.public_key()),), key)
    transaction = kept(by_hand.renew(key, current))
    waits = Status(3, (1,), pend_token=b"token", pend_time=LATER)
    answer = answered(other_side, transaction, waits, certificates=[], sender_nonce=b"n" * 16)
    with pytest.raises(CmcPendingError) as caught:
        by_hand.read(answer, transaction, anchors=[ca.certificate])
    asking = kept(by_hand.follow_up(CarriedTransaction.from_json(caught.value.pending), key, signer=current))
    for waiting in (transaction, asking):
        old = answered(other_side, waiting, certificates=list(current.chain))
        with pytest.raises(CertificateMismatchError, match="was to be renewed"):
            by_hand.read(old, waiting, anchors=[ca.certificate])
        new = ca.certify_csr(transaction.csr)
        done = by_hand.read(answered(other_side, waiting, certificates=[new]), waiting, anchors=[ca.certificate])
        assert done.enrolled.certificate == new


@pytest.mark.parametrize(
    "change",
    [
        {"renews": "x"},
        {"renews": "\u00e4"},
        {"transaction_id": "x"},
        {"transaction_id": None},
        {"csr": "x"},
        {"csr": None},
        {"csr": "MAA="},
        {"request": "\u00e4"},
        {"sender_nonce": "0"},
        {"pend_token": "zz"},
        {"issued": "x"},
    ],
)
def test_what_is_kept_is_read_or_refused(change, by_hand) -> None:
    good = by_hand.enroll(new_key(), SPEC).to_json()
    with pytest.raises(ConfigurationError):
        CarriedTransaction.from_json(good | change)


def test_no_answer_makes_anything_but_an_error_of_the_sdk(by_hand, other_side, ca) -> None:
    """Every cut and many changed bytes of a good answer."""
    transaction = by_hand.enroll(new_key(), SPEC)
    good = base64.b64decode(answered(other_side, transaction))
    for position in range(0, len(good), 11):
        for bad in (good[:position], good[:position] + bytes([good[position] ^ 0x41]) + good[position + 1 :]):
            try:
                found = by_hand.read(bad, transaction, anchors=[ca.certificate])
            except DeviceSdkError:
                continue
            assert found.enrolled.anchor == ca.certificate


@pytest.mark.parametrize(
    ("body", "boundary"),
    [
        (b"--x y\r\n\r\na\r\n--x y--\r\n", "x y"),
        (b"preamble\n--b\n", "b"),
        (b"--" + b"b" * 70 + b"\n", "b" * 70),
        (b"--" + b"b" * 71 + b"\n", None),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n", None),
        (b"x", None),
    ],
)
def test_rfc_2046_the_boundary_of_a_body_without_its_head(body, boundary) -> None:
    found = as_multipart(read_saved_answer(body, URL))
    assert found.header("Content-Type") == (None if boundary is None else f'multipart/mixed; boundary="{boundary}"')
