"""/fullcmc of the reference server: what it accepts and what it refuses, with which CMCFailInfo (RFC 5272, RFC 7030 4.3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from device_sdk_simulators.ca.hierarchy import make_authority
from device_sdk_simulators.ca.issue import CMC_RA, Wish, issue
from device_sdk_simulators.http.messages import Request, TlsFacts
from pyasn1_alt_modules import rfc6402

from device_sdk.wire import der
from device_sdk.wire.cmc import oids
from device_sdk.wire.cmc.pki_data import Control, octets, pki_data, request_sequence, revoke_request
from device_sdk.wire.cms.signing import Signer
from tests.simulators.server.full_cmc_requests import (
    BAD_CERT_ID,
    BAD_IDENTITY,
    BAD_MESSAGE_CHECK,
    BAD_REQUEST,
    BAD_TIME,
    NO_KEY_REUSE,
    POP_FAILED,
    POP_REQUIRED,
    TLS,
    Draft,
    by,
    new_key,
    no_signature,
    refused,
    said,
    send,
    spki,
)
from tests.simulators.server.support import EST, basic, name, post

CERT = x509.ObjectIdentifier
CLIENT_AUTH = x509.ExtendedKeyUsageOID.CLIENT_AUTH.dotted_string


def enrolled(server, draft: Draft | None = None):
    """A key and its certificate, got by shared secret."""
    draft = draft or Draft()
    response = send(server, draft.message())
    assert response.status == 200, said(response)
    return next(one for one in said(response).certificates if spki(one) == spki(draft.key)), draft.key


def certified(server, subject="dev-1", *usages: str, not_after=None, authority=None):
    """A key and a certificate of the CA, or of another one, without asking."""
    key, now = new_key(), datetime.now(UTC)
    wanted = [x509.Extension(x509.ExtendedKeyUsage.oid, False, x509.ExtendedKeyUsage([CERT(u) for u in usages]))]
    extensions = x509.Extensions(wanted if usages else [])
    begin, end = now - timedelta(days=2), not_after or now + timedelta(days=2)
    wish = Wish(name(subject), key.public_key(), extensions, begin, end)
    return issue(authority or server.hierarchy.issuing, wish), key


def serials(server) -> int:
    return len(server.est.register.entries())


def test_est_204_off_by_default(server):
    assert send_status(server) == 404
    server.policy.fullcmc = True
    assert send_status(server) != 404


def send_status(server) -> int:
    try:
        return send(server, Draft().message()).status
    finally:
        assert server.log()[-1]["path"] == f"{EST}fullcmc"


def test_est_205_shared_secret(cmc):
    """EST-03 besides: /fullcmc answers."""
    response = send(cmc, Draft().message())
    answer = said(response)
    assert (response.status, answer.status, answer.body_parts) == (200, 0, (1,))
    assert dict(response.headers)["Content-Type"] == "application/pkcs7-mime; smime-type=CMC-response"
    entry = cmc.log()[-1]
    assert (entry["identity"], entry["binding"], entry["subject"]) == ("user:cmc:dev-1", "tls-exporter", "CN=dev-1")
    assert serials(cmc) == 1


def test_est_207_nonce_and_transaction_come_back(cmc):
    draft = Draft()
    controls = said(send(cmc, draft.message())).controls
    assert controls[oids.RECIPIENT_NONCE] == der.tlv(0x04, draft.nonce)
    assert controls[oids.TRANSACTION_ID] == der.integer(4711)
    assert len(controls[oids.SENDER_NONCE]) == 18
    assert controls[oids.SENDER_NONCE] != controls[oids.RECIPIENT_NONCE]
    assert controls[oids.SENDER_NONCE] != said(send(cmc, Draft().message())).controls[oids.SENDER_NONCE]


def test_est_206_nothing_to_say_but_certificates_is_a_simple_response(cmc):
    draft = Draft()
    draft.controls = lambda requests: [
        c for c in Draft.controls(draft, requests) if c.oid not in (oids.TRANSACTION_ID, oids.SENDER_NONCE)
    ]
    response = send(cmc, draft.message())
    assert dict(response.headers)["Content-Type"] == "application/pkcs7-mime; smime-type=certs-only"


@pytest.mark.parametrize("body", [b"", b"nonsense", b"\x30\x03\x02\x01\x05", b"\x30\x80" * 100])
def test_est_204_not_a_full_pki_request(body, cmc):
    """RFC 7030 section 4.3.1: MUST reject; the answer is CMC all the same (EST-206)."""
    assert refused(send(cmc, body)) == (400, BAD_REQUEST)


@pytest.mark.slow
def test_est_206_media_type_and_method(cmc):
    assert send(cmc, Draft().message(), headers=[("Content-Type", "application/pkcs10")]).status == 415
    assert (
        send(
            cmc, Draft().message(), headers=[("Content-Type", "Application/PKCS7-MIME; smime-type=cmc-REQUEST")]
        ).status
        == 200
    )
    assert send(cmc, Draft().message(), headers=[]).status == 200
    assert cmc.handle(Request("PUT", f"{EST}fullcmc", tls=TLS)).status == 405


WRONG = {
    "another secret": ({"secret": "guess"}, (403, BAD_IDENTITY)),
    "an unknown name": ({"identification": "dev-2"}, (403, BAD_IDENTITY)),
    "no name": ({"identification": None}, (403, BAD_IDENTITY)),
    "no proof at all": ({"proof": False}, (401, BAD_IDENTITY)),
    "no pop link": ({"link": False}, (400, POP_FAILED)),
    "the signer is not the key of the request": ({"key_id": b"x" * 20}, (400, BAD_MESSAGE_CHECK)),
    "another connection's binding": ({"binding": "AAAA"}, (400, POP_FAILED)),
    "yesterday's message": ({"signed_at": datetime.now(UTC) - timedelta(days=1)}, (400, BAD_TIME)),
    "tomorrow's message": ({"signed_at": datetime.now(UTC) + timedelta(days=1)}, (400, BAD_TIME)),
    "an unknown control": ({"more": (Control("2.999.1", b"\x05\x00"),)}, (400, BAD_REQUEST)),
    "a control twice": ({"more": (octets(oids.SENDER_NONCE, b"n"),)}, (400, BAD_REQUEST)),
}


@pytest.mark.parametrize("what", list(WRONG))
def test_est_207_refusals(what, cmc):
    changes, expected = WRONG[what]
    response = send(cmc, Draft(**changes).message())
    assert refused(response) == expected
    assert said(response).controls[oids.TRANSACTION_ID] == der.integer(4711)
    assert serials(cmc) == 0
    assert all(one.subject != name() for one in said(response).certificates)


def test_names_of_secrets_cannot_be_tried_out(cmc):
    texts = {said(send(cmc, Draft(secret="x", identification=one).message())).text for one in ("dev-1", "dev-2")}
    assert len(texts) == 1


def test_rfc_5272_3_2_1_1_the_body_part_of_an_unknown_control_is_named(cmc):
    response = send(cmc, Draft(more=(Control("2.999.1", b"\x05\x00"),)).message())
    assert said(response).body_parts == (7,)


def test_pop_link_of_another_request(cmc):
    """Section 6.3: a witness over another random does not link this key to the secret."""
    draft = Draft()
    csr = draft.csr()
    draft.random = b"r" * 64
    assert refused(send(cmc, draft.message(csr))) == (400, POP_FAILED)


def test_a_key_swapped_into_somebody_elses_message(cmc):
    """Section 6.2.1: the proof is over the reqSequence; another request in it breaks the proof."""
    draft, other = Draft(), Draft()
    requests = request_sequence(draft.csr())
    controls = draft.controls(requests)
    assert refused(send(cmc, other.wrap(pki_data(controls, request_sequence(other.csr()))))) == (403, BAD_IDENTITY)


@pytest.mark.parametrize("at", [-1, -40])
def test_altered_messages(at, cmc):
    message = bytearray(Draft().message())
    message[at] ^= 1
    status, fail_info = refused(send(cmc, bytes(message)))
    assert (status, fail_info) in {(400, BAD_MESSAGE_CHECK), (400, BAD_REQUEST)}


def test_altered_content_is_a_bad_message_check(cmc):
    draft = Draft()
    requests = request_sequence(draft.csr())
    good = pki_data(draft.controls(requests), requests)
    message = draft.wrap(good).replace(der.integer(4711), der.integer(4712))
    assert refused(send(cmc, message)) == (400, BAD_MESSAGE_CHECK)


def test_replay(cmc):
    """Section 6.6: the same message a second time gets nothing."""
    message = Draft().message()
    assert send(cmc, message).status == 200
    assert refused(send(cmc, message)) == (400, BAD_REQUEST)
    assert serials(cmc) == 1


def test_est_102_binding_that_is_required_and_not_there(cmc):
    cmc.policy.require_binding = True
    response = send(cmc, Draft(binding=None).message())
    assert refused(response) == (400, POP_FAILED)
    assert "required" in said(response).text
    assert "linking" in said(response).text


def test_est_135_no_signature(cmc):
    """RFC 5272 section C.1: no proof of possession; refused here, and by simpleenroll all the more."""
    draft = Draft()
    unsigned = no_signature(draft.csr())
    assert refused(send(cmc, draft.message(unsigned))) == (400, POP_REQUIRED)
    assert post(cmc, unsigned, tls=TLS).status == 400
    assert serials(cmc) == 0


def test_pkcs10_with_a_wrong_signature(cmc):
    draft = Draft()
    csr = bytearray(draft.csr())
    csr[-1] ^= 1
    assert refused(send(cmc, draft.message(bytes(csr)))) == (400, POP_FAILED)


def test_est_208_crmf_is_not_supported(cmc):
    """CertReqMsg of RFC 4211: noSupport, and no reason beside it."""
    draft = Draft()
    requests = der.sequence(der.tlv(0xA1, der.sequence(der.integer(9), der.sequence())))
    response = send(cmc, draft.wrap(pki_data(draft.controls(requests), requests)))
    assert refused(response) == (400, None)
    assert said(response).status == 4


def test_existing_certificate_renews_and_rekeys(cmc):
    certificate, key = enrolled(cmc)
    assert said(send(cmc, by(certificate, key).message())).status == 0
    assert cmc.log()[-1]["authentication"] == "cmc:certificate"
    cmc.policy.forbid_key_reuse = True
    assert refused(send(cmc, by(certificate, key, key=key).message())) == (400, NO_KEY_REUSE)


def test_rfc_5272_3_2_no_identity_proof_beside_a_certificate(cmc):
    certificate, key = enrolled(cmc)
    assert refused(send(cmc, by(certificate, key, proof=True).message())) == (400, BAD_REQUEST)


def test_inner_signature_decides(cmc):
    """Section 15 of the matrix: what TLS showed does not help a message signed by somebody else."""
    mine, key = enrolled(cmc)
    stranger = make_authority("Stranger", new_key(), datetime.now(UTC))
    foreign, foreign_key = certified(cmc, authority=stranger)
    tls = TlsFacts(TLS.version, TLS.cipher, (mine,), tls_exporter=TLS.tls_exporter)
    assert refused(send(cmc, by(foreign, foreign_key).message(), tls=tls)) == (403, BAD_MESSAGE_CHECK)
    assert refused(send(cmc, by(mine, new_key()).message(), tls=tls)) == (400, BAD_MESSAGE_CHECK)
    assert send(cmc, by(mine, key).message()).status == 200


def test_expired_and_revoked_signers(cmc):
    old, key = certified(cmc, not_after=datetime.now(UTC) - timedelta(days=1))
    assert refused(send(cmc, by(old, key).message())) == (403, BAD_MESSAGE_CHECK)
    certificate, key = enrolled(cmc)
    cmc.est.register.revoke(f"{certificate.serial_number:x}")
    assert refused(send(cmc, by(certificate, key).message())) == (403, BAD_MESSAGE_CHECK)


def test_only_an_ra_enrols_others_est_26_est_101(cmc):
    device, device_key = enrolled(cmc)
    somebody = {"subject": name("somebody"), "binding": "AAAA"}
    assert refused(send(cmc, by(device, device_key, subject=name("somebody")).message())) == (403, BAD_REQUEST)
    ra, ra_key = certified(cmc, "RA", CMC_RA)
    assert send(cmc, by(ra, ra_key, **somebody).message()).status == 200
    assert (cmc.log()[-1]["registration_authority"], cmc.log()[-1]["binding"]) == (True, "foreign")


def test_a_makers_certificate_enrols_by_the_list_est_26(cmc):
    maker = make_authority("Maker", new_key(), datetime.now(UTC))
    certificate, key = certified(cmc, "dev-1", CMC_RA, CLIENT_AUTH, authority=maker)
    assert refused(send(cmc, by(certificate, key).message())) == (403, BAD_MESSAGE_CHECK)
    cmc.policy.third_party_anchors = [maker.certificate]
    assert refused(send(cmc, by(certificate, key).message())) == (403, BAD_REQUEST)
    cmc.policy.third_party_serials = None
    assert send(cmc, by(certificate, key).message()).status == 200
    assert refused(send(cmc, by(certificate, key, binding="AAAA").message())) == (400, POP_FAILED)


def test_an_http_user_stands_in_for_a_proof(cmc):
    draft = Draft(proof=False, link=False)
    headers = [("Content-Type", "application/pkcs7-mime"), basic(cmc)]
    assert send(cmc, draft.message(), headers=headers).status == 200
    wrong = [headers[0], ("Authorization", "Basic ZGV2aWNlOndyb25n")]
    assert refused(send(cmc, Draft(proof=False, link=False).message(), headers=wrong)) == (401, BAD_IDENTITY)


def _confirmation(certificate, key, about) -> bytes:
    value = der.sequence(about.issuer.public_bytes(), der.integer(about.serial_number))
    draft = by(certificate, key, more=(Control(oids.CONFIRM_CERT_ACCEPTANCE, value),))
    empty = request_sequence(None)
    return draft.wrap(pki_data(draft.controls(empty), empty))


def test_confirmation(cmc):
    cmc.policy.fullcmc_confirm = True
    draft = Draft()
    answer = said(send(cmc, draft.message()))
    assert answer.status == 5
    certificate = next(one for one in answer.certificates if spki(one) == spki(draft.key))
    assert said(send(cmc, _confirmation(certificate, draft.key, certificate))).status == 0
    foreign, _ = certified(cmc, "somebody")
    assert refused(send(cmc, _confirmation(certificate, draft.key, foreign))) == (400, BAD_CERT_ID)


def test_data_return(cmc):
    """Section 6.4: comes back as it was, in refusals, too."""
    control = octets(str(rfc6402.id_cmc_dataReturn), b"mine")
    for draft in (Draft(more=(control,)), Draft(more=(control,), secret="guess")):
        assert said(send(cmc, draft.message())).controls[control.oid] == control.value


def test_a_signer_named_by_key_has_to_be_the_one_of_the_request(cmc):
    draft = Draft()
    draft.signer = Signer(new_key(), key_identifier=draft.key_id or b"")
    assert refused(send(cmc, draft.message())) == (400, BAD_MESSAGE_CHECK)


def test_one_thing_a_message(cmc):
    """Nothing is passed over in silence: neither a second wish nor none at all."""
    certificate, key = enrolled(cmc)
    both = by(certificate, key, more=(revoke_request(certificate, "superseded"),))
    assert refused(send(cmc, both.message())) == (400, BAD_REQUEST)
    draft, empty = by(certificate, key), request_sequence(None)
    assert refused(send(cmc, draft.wrap(pki_data(draft.controls(empty), empty)))) == (400, BAD_REQUEST)
    assert not cmc.est.register.entries()[0]["revoked_at"]


def test_nobody_vouches_for_the_possession_of_a_key(cmc):
    """Section 6.8: "If a certification server does not allow an RA to do the POP verification, ... popFailed"."""
    ra, ra_key = certified(cmc, "RA", CMC_RA)
    witness = Control(str(rfc6402.id_cmc_lraPOPWitness), der.sequence(der.integer(0), der.sequence(der.integer(1))))
    assert refused(send(cmc, by(ra, ra_key, more=(witness,)).message())) == (400, POP_FAILED)
