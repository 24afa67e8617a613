"""Answers to /fullcmc over TLS, right and hostile: RFC 7030 section 4.3.2, RFC 5272 sections 4, 6.1 and 6.6."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from device_sdk_simulators.cmc.answer import Status
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc5652, rfc6402

from device_sdk.client.est import EstClient
from device_sdk.client.est.full_cmc import PendingRequest
from device_sdk.errors import (
    CertificateMismatchError,
    CmcIdentityError,
    CmcPendingError,
    CmcPopError,
    CmcRefusedError,
    CmcTimeError,
    CmcUnavailableError,
    CmcUnsupportedError,
    CmcUntrustedError,
    ConfigurationError,
    HttpStatusError,
    RemoteProtocolError,
)
from device_sdk.protocols.est.full_cmc_refusal import _BY_REASON
from device_sdk.wire.cmc.status import CmcFailInfo, CmcStatus
from tests.est.answers import SPEC, bag, trusting
from tests.est.full_cmc_answers import cmc, request_of
from tests.est.pki import certs_only, new_key, one_line
from tests.est.scripted_server import http, pkcs7

DAY = timedelta(days=1)


def test_est_206_certificates_only_is_a_success(ca, ask):
    """The Simple PKI Response says nothing else; the certificate is checked like any other (EST-139)."""
    result = ask(lambda seen: pkcs7(one_line(certs_only(ca.certify_csr(request_of(seen).request.der)))))
    assert result.enrolled.certificate.subject == SPEC.subject
    assert result.statuses == ()


def test_est_206_full_pki_response(ask, other_side):
    """EST-05."""
    result = ask(other_side.says(Status(0, (1,), "welcome")))
    assert [(one.status_name, one.text) for one in result.statuses] == [("success", "welcome")]
    assert result.enrolled.chain == (result.enrolled.certificate,)


def test_est_206_several_statuses_one_bad_is_a_refusal(ask, other_side):
    with pytest.raises(CmcRefusedError) as caught:
        ask(other_side.says(Status(0, (2,)), Status(2, (1,), "no", fail_info=2)))
    assert caught.value.body_parts == (1,)


def test_est_204_what_is_posted(ask, other_side):
    ask(other_side.says())
    post = ask.server.seen[-1]
    assert post.line == "POST /.well-known/est/fullcmc"
    assert post.header("Content-Type") == "application/pkcs7-mime; smime-type=CMC-request"
    assert post.header("Content-Disposition") == 'attachment; filename="request.p7m"'


_CLASSES = {
    "badAlg": CmcUnsupportedError,
    "badMessageCheck": CmcRefusedError,
    "badRequest": CmcRefusedError,
    "badTime": CmcTimeError,
    "badCertId": CmcRefusedError,
    "unsupportedExt": CmcUnsupportedError,
    "mustArchiveKeys": CmcRefusedError,
    "badIdentity": CmcIdentityError,
    "popRequired": CmcPopError,
    "popFailed": CmcPopError,
    "noKeyReuse": CmcRefusedError,
    "internalCAError": CmcUnavailableError,
    "tryLater": CmcUnavailableError,
    "authDataFail": CmcIdentityError,
}


@pytest.mark.parametrize("http_status", [400, 403, 500, 200])
@pytest.mark.parametrize("number", range(14))
def test_est_207_every_fail_info_has_its_exception(number, http_status, ask, other_side):
    """RFC 5272 section 6.1.4, with the HTTP status of a refusal or, wrongly, of a success (EST-206)."""
    name = list(_CLASSES)[number]
    with pytest.raises(CmcRefusedError) as caught:
        ask(other_side.says(Status(2, (1, 3), "because\n\x1b[31m of this", fail_info=number), status=http_status))
    error = caught.value
    assert type(error) is _CLASSES[name]
    assert (error.fail_info, error.cmc_status, error.body_parts) == (name, "failed", (1, 3))
    assert (error.status_code, error.server_text) == (http_status, "because [31m of this")
    assert error.transaction_id == f"{request_of(ask.server.seen[-1]).transaction_id:x}"
    assert error.exit_code == 7
    assert set(_BY_REASON) == set(CmcFailInfo)


@pytest.mark.parametrize(
    ("status", "fail_info", "kind"),
    [
        (2, None, CmcRefusedError),
        (2, 1000, CmcRefusedError),
        (4, None, CmcUnsupportedError),
        (6, None, CmcPopError),
        (1, None, CmcRefusedError),
        (99, None, CmcRefusedError),
    ],
)
def test_est_207_other_statuses(status, fail_info, kind, ask, other_side):
    with pytest.raises(CmcRefusedError) as caught:
        ask(other_side.says(Status(status, (0,), fail_info=fail_info), status=400))
    assert type(caught.value) is kind
    assert caught.value.fail_info == (str(fail_info) if fail_info else None)


def test_extended_fail_info_counts_as_internal_ca_error(ask, other_side):
    """RFC 5272 section 6.1.1: "may be assumed if the extended error is not recognized"."""

    def handler(seen):
        answer = other_side.answer(seen, Status(2, (1,)))
        response, _ = decode(answer.content(), asn1Spec=rfc6402.PKIResponse())
        info = rfc6402.CMCStatusInfoV2()
        info["cMCStatus"] = 2
        info["bodyList"][0]["bodyPartID"] = 1
        info["otherInfo"]["extendedFailInfo"]["failInfoOID"] = univ.ObjectIdentifier("2.999.1")
        info["otherInfo"]["extendedFailInfo"]["failInfoValue"] = encode(univ.Integer(5))
        response["controlSequence"][0]["attrValues"][0] = encode(info)
        return cmc(other_side.message(answer, content=encode(response)), 400)

    with pytest.raises(CmcUnavailableError) as caught:
        ask(handler)
    assert caught.value.fail_info == "2.999.1"


def test_the_old_status_control_is_read(ask, other_side):
    """Section 6.1.2: servers of RFC 2797 send id-cmc 1 only (EST-206: SHOULD)."""

    def handler(seen):
        answer = other_side.answer(seen, Status(2, (1,), "old", fail_info=7))
        response, _ = decode(answer.content(), asn1Spec=rfc6402.PKIResponse())
        response["controlSequence"][0]["attrType"] = rfc6402.id_cmc_statusInfo
        return cmc(other_side.message(answer, content=encode(response)), 400)

    with pytest.raises(CmcIdentityError):
        ask(handler)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"recipient_nonce": b"0123456789abcdef"}, "nonce"),
        ({"recipient_nonce": b""}, "nonce"),
        ({"recipient_nonce": None}, "nonce"),
        ({"transaction_id": 4711}, "transaction"),
        ({"transaction_id": None}, "transaction"),
    ],
)
def test_an_answer_to_another_request(changes, reason, ask, other_side):
    """Section 6.6: nonce and transaction are compared before anything else counts; so a refusal does not count, either."""
    with pytest.raises(CmcUntrustedError) as caught:
        ask(other_side.says(**changes))
    assert caught.value.reason == reason
    with pytest.raises(HttpStatusError) as refused:
        ask(other_side.says(Status(2, (1,), fail_info=7), status=400, **changes))
    assert type(refused.value) is HttpStatusError


def test_another_media_type_is_no_success(ask, other_side):
    with pytest.raises(RemoteProtocolError):
        ask(lambda seen: http(200, b"<html>ok</html>", ("Content-Type", "text/html")))
    with pytest.raises(HttpStatusError) as caught:
        ask(lambda seen: http(404, b"nothing here", ("Content-Type", "text/plain")))
    assert "Full CMC" in caught.value.hint


def test_est_139_the_certificate_of_somebody_else(ca, ask, other_side):
    with pytest.raises(CertificateMismatchError):
        ask(other_side.says(certificates=[ca.certify("device 1", new_key().public_key())]))
    with pytest.raises(CertificateMismatchError):
        ask(other_side.says(certificates=[]))


def _indefinite(message: bytes) -> bytes:
    """The outer SEQUENCE, [0] and SignedData with indefinite lengths; what is signed stays DER."""
    info, _ = decode(message, asn1Spec=rfc5652.ContentInfo())
    signed = bytes(info["content"])
    head = 2 + (signed[1] & 0x7F if signed[1] & 0x80 else 0)
    inner = b"\x30\x80" + signed[head:] + b"\0\0"
    return b"\x30\x80" + encode(rfc5652.id_signedData) + b"\xa0\x80" + inner + b"\0\0\0\0"


def test_est_40_ber_is_read(ask, other_side):
    assert ask(other_side.twisted(_indefinite)).enrolled


def test_pending_without_a_token(ask, other_side):
    with pytest.raises(RemoteProtocolError, match="without a token"):
        ask(other_side.says(Status(3, (1,))))


def _pending(token=b"token 1", seconds=30):
    return Status(
        3, (1,), "a person looks at it", pend_token=token, pend_time=datetime.now(UTC) + timedelta(seconds=seconds)
    )


def test_pending_carries_all_that_a_query_needs(ca, serve, clock, ask, other_side):
    """Section 6.13: token, transaction and the server's nonce come back in the query; the CSR stays with us."""
    key, nonces = new_key(), []

    def first(seen):
        answer = other_side.answer(seen, _pending(), certificates=[])
        nonces.append((request_of(seen).transaction_id, answer.nonce, request_of(seen).request.der))
        return cmc(other_side.message(answer))

    with pytest.raises(CmcPendingError) as caught:
        ask(first, key=key)
    assert caught.value.exit_code == 8
    pending = PendingRequest.from_json(caught.value.pending)
    assert (pending.transaction_id, pending.server_nonce, pending.csr) == nonces[0]
    assert pending.token == b"token 1"

    def then(seen):
        full = request_of(seen)
        assert full.octets(rfc6402.id_cmc_queryPending) == b"token 1"
        assert full.octets(rfc6402.id_cmc_recipientNonce) == nonces[0][1]
        assert full.transaction_id == nonces[0][0]
        assert full.request is None
        return cmc(other_side.message(other_side.answer(seen, certificates=[ca.certify_csr(pending.csr)])))

    server = serve(cacerts=bag(ca.certificate), fullcmc=then)
    with EstClient(server.url, trusting(ca), clock=clock) as client:
        assert client.fullcmc.query(pending, key).enrolled.certificate.public_key() == key.public_key()
        with pytest.raises(ConfigurationError, match="another key"):
            client.fullcmc.query(pending, new_key())


def test_waiting_uses_the_time_the_server_names(ca, ask, other_side, clock):
    state = {}

    def first(seen):
        state["csr"] = request_of(seen).request.der
        return cmc(other_side.message(other_side.answer(seen, _pending(seconds=300), certificates=[])))

    def second(seen):
        # the same pendInfo, or none at all (section 6.13)
        return cmc(other_side.message(other_side.answer(seen, Status(3, (1,)), certificates=[])))

    def third(seen):
        return cmc(other_side.message(other_side.answer(seen, certificates=[ca.certify_csr(state["csr"])])))

    assert ask(first, second, third, wait_s=3600).enrolled
    assert clock.slept[0] == pytest.approx(300, abs=20)
    assert clock.slept[1] == 60


def test_est_207_confirm_required_is_confirmed_before_the_certificate_is_given_out(ca, ask, other_side):
    """Section 6.14; who had no certificate before signs the confirmation with the new one."""
    seen_ids = []

    def confirm(seen):
        full = request_of(seen)
        seen_ids.append(int(full.controls[rfc6402.id_cmc_confirmCertAcceptance].value["serialNumber"]))
        assert int(full.controls[rfc6402.id_cmc_statusInfoV2].value["cMCStatus"]) == 0
        return cmc(other_side.message(other_side.answer(seen)))

    result = ask(other_side.says(Status(CmcStatus.CONFIRM_REQUIRED, (1,))), confirm)
    assert seen_ids == [result.enrolled.certificate.serial_number]
    assert [one.status_name for one in result.statuses] == ["confirmRequired", "success"]
    with pytest.raises(CmcRefusedError):
        ask(other_side.says(Status(5, (1,))), other_side.says(Status(2, (0,), fail_info=2), status=400))


@pytest.mark.parametrize(
    "kept",
    [
        {},
        {"pend_token": "zz", "transaction_id": "1", "csr": ""},
        {"pend_token": "00", "transaction_id": "x", "csr": ""},
        {"pend_token": "00", "transaction_id": "1", "csr": "AAAA"},
    ],
)
def test_what_was_kept_is_checked(kept):
    with pytest.raises(ConfigurationError):
        PendingRequest.from_json(kept)
