"""Revocation by /fullcmc of the reference server: whose certificate, and who says so (RFC 5272 section 6.11)."""

from __future__ import annotations

from device_sdk_simulators.ca.issue import CMC_RA

from device_sdk.model.secret import Secret
from device_sdk.wire.cmc import oids
from device_sdk.wire.cmc.pki_data import pki_data, request_sequence, revoke_request
from device_sdk.wire.cms.signing import sign_data
from tests.simulators.server.full_cmc_requests import (
    BAD_CERT_ID,
    BAD_IDENTITY,
    BAD_MESSAGE_CHECK,
    BAD_REQUEST,
    SECRET,
    Draft,
    by,
    refused,
    said,
    send,
)
from tests.simulators.server.support import certificates_in, make_csr, name, post
from tests.simulators.server.test_full_cmc import certified, enrolled


def _revocation(draft: Draft, certificate, reason="keyCompromise", **options) -> bytes:
    draft.more = (revoke_request(certificate, reason, **options),)
    empty = request_sequence(None)
    return draft.wrap(pki_data(draft.controls(empty), empty))


def test_revocation_by_the_holder(cmc):
    certificate, key = enrolled(cmc)
    serial = f"{certificate.serial_number:x}"
    response = send(cmc, _revocation(by(certificate, key), certificate))
    assert (response.status, said(response).status) == (200, 0)
    assert cmc.est.register.entries()[0]["revoked_at"]
    assert cmc.est.full_cmc.store.revocation_reason(serial) == 1
    assert (cmc.log()[-1]["revoked_serial"], cmc.log()[-1]["revocation_reason"]) == (serial, 1)


def test_rfc_5280_5_3_1_what_is_no_reason_to_revoke(cmc):
    """removeFromCRL is for delta lists: it takes a certificate off, which nobody does here."""
    certificate, key = enrolled(cmc)
    response = send(cmc, _revocation(by(certificate, key), certificate, "removeFromCRL"))
    assert refused(response) == (400, BAD_REQUEST)
    assert not cmc.est.register.entries()[0]["revoked_at"]


def test_revocation_of_others(cmc):
    mine, key = enrolled(cmc)
    other, _ = certified(cmc, "somebody")
    assert refused(send(cmc, _revocation(by(mine, key), other))) == (400, BAD_CERT_ID)
    cmc.est.full_cmc.store.add_secret("dev-2", b"another")
    theirs, _ = enrolled(cmc, Draft(secret="another", identification="dev-2", subject=name("dev-2")))
    assert refused(send(cmc, _revocation(by(mine, key), theirs))) == (403, BAD_REQUEST)
    ra, ra_key = certified(cmc, "RA", CMC_RA)
    assert send(cmc, _revocation(by(ra, ra_key), theirs)).status == 200


def _unsigned(certificate, secret: str) -> bytes:
    control = revoke_request(certificate, "keyCompromise", shared_secret=Secret(secret))
    return sign_data(pki_data([control], request_sequence(None)), oids.PKI_DATA, None)


def test_revocation_by_shared_secret(cmc):
    """Section 6.11: a SignedData without signatures; for nothing else."""
    certificate, _ = enrolled(cmc)
    guessed = send(cmc, _unsigned(certificate, "guess"))
    assert refused(guessed) == (403, BAD_IDENTITY)
    assert said(guessed).text == "that is not the shared secret of the certificate's holder"
    assert send(cmc, _unsigned(certificate, SECRET)).status == 200
    assert said(send(cmc, _unsigned(certificate, SECRET))).status == 0
    draft = Draft()
    requests = request_sequence(draft.csr())
    assert refused(send(cmc, sign_data(pki_data(draft.controls(requests), requests), oids.PKI_DATA, None))) == (
        400,
        BAD_MESSAGE_CHECK,
    )


def test_the_secret_of_somebody_else_revokes_nothing_and_says_no_more_than_a_guess(cmc):
    """Whether the holder has another secret or none, or nobody knows the holder, is for no stranger."""
    cmc.est.full_cmc.store.add_secret("dev-2", b"another")
    theirs, _ = enrolled(cmc, Draft(secret="another", identification="dev-2", subject=name("dev-2")))
    by_password = certificates_in(post(cmc, make_csr()))[0]
    answers = [send(cmc, _unsigned(one, SECRET)) for one in (theirs, by_password)]
    assert {refused(one) for one in answers} == {(403, BAD_IDENTITY)}
    assert {said(one).text for one in answers} == {"that is not the shared secret of the certificate's holder"}
    assert not any(entry["revoked_at"] for entry in cmc.est.register.entries())
