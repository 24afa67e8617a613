"""/fullcmc and copies of messages that have no senderNonce: it is optional, and captured messages work once all the same."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk_simulators.server import ReferenceServer
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc5280, rfc5652

from device_sdk.model.secret import Secret
from device_sdk.wire.cmc import oids
from device_sdk.wire.cmc.pki_data import Control, octets, pki_data, request_sequence, revoke_request
from device_sdk.wire.cms.signing import sign_data
from tests.simulators.server.full_cmc_requests import MEDIA, SECRET, Draft, refused, said, send, spki

BAD_REQUEST = 2
ORDER_OF_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass
class Plain(Draft):
    """No senderNonce and no transaction."""

    def controls(self, requests: bytes) -> list[Control]:
        left_out = (oids.SENDER_NONCE, oids.TRANSACTION_ID)
        return [one for one in super().controls(requests) if one.oid not in left_out]


def issued(server: ReferenceServer) -> int:
    return len(server.est.register.entries())


def basic(user: str, password: str) -> tuple[str, str]:
    return "Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize("dated", [True, False], ids=["signing time", "no signing time"])
def test_est_207_a_copy_without_nonce_makes_no_second_certificate(cmc, dated):
    """RFC 5272 section 8: nonces are optional where the server keeps enough to know copies."""
    message = Plain(**({} if dated else {"signed_at": None})).message()
    assert send(cmc, message).status == 200
    assert [refused(send(cmc, message)) for _ in range(3)] == [(400, BAD_REQUEST)] * 3
    assert issued(cmc) == 1
    assert cmc.log()[-1]["reason"] == "this message was answered before"
    assert send(cmc, Plain().message()).status == 200, "another message is none"


def test_est_207_a_captured_message_works_for_no_other_user(cmc):
    """Signed by the request's key alone, the user is HTTP's: whoever sends a copy would have it in his name."""
    cmc.users.add("mallory", "mallory's password")
    message = Plain(link=False, proof=False).message()
    assert send(cmc, message, headers=(MEDIA, basic(cmc.user, cmc.password))).status == 200
    stolen = send(cmc, message, headers=(MEDIA, basic("mallory", "mallory's password")))
    assert (refused(stolen), issued(cmc)) == ((400, BAD_REQUEST), 1)


def _other_signature(data: rfc5652.SignedData, _server: ReferenceServer) -> None:
    """Whoever sees an ECDSA signature can make a second one of it."""
    r, s = decode_dss_signature(bytes(data["signerInfos"][0]["signature"]))
    data["signerInfos"][0]["signature"] = encode_dss_signature(r, ORDER_OF_P256 - s)


def _more_certificates(data: rfc5652.SignedData, server: ReferenceServer) -> None:
    extra = server.hierarchy.root.certificate.public_bytes(Encoding.DER)
    data["certificates"][0]["certificate"] = decode(extra, asn1Spec=rfc5280.Certificate())[0]


@pytest.mark.parametrize(
    "change", [_other_signature, _more_certificates, None], ids=["signature", "certificates", "BER"]
)
def test_a_copy_that_somebody_dressed_up_is_a_copy(change, cmc):
    """What the signature does not cover makes no other message of it, nor does another signature or encoding."""
    message = Plain().message()
    assert send(cmc, message).status == 200
    assert message.startswith(b"\x30\x82")
    # BER: a length of more octets than it needs
    dressed = b"\x30\x83\0" + message[2:]
    if change is not None:
        info, _ = decode(message, asn1Spec=rfc5652.ContentInfo())
        data, _ = decode(info["content"], asn1Spec=rfc5652.SignedData())
        change(data, cmc)
        info["content"] = encode(data)
        dressed = encode(info)
    assert dressed != message
    assert refused(send(cmc, dressed)) == (400, BAD_REQUEST)
    assert (issued(cmc), cmc.log()[-1]["reason"]) == (1, "this message was answered before")


def enrolled(server: ReferenceServer):
    """A certificate and its key."""
    draft = Draft()
    answer = said(send(server, draft.message()))
    return next(one for one in answer.certificates if spki(one) == spki(draft.key)), draft.key


def test_rfc_5272_6_11_a_copy_does_not_bring_an_earlier_reason_back(cmc):
    """The list says what was said last."""
    own, _key = enrolled(cmc)
    sent = []
    for reason in ("superseded", "keyCompromise"):
        wish = revoke_request(own, reason, shared_secret=Secret(SECRET))
        sent.append(sign_data(pki_data([wish], request_sequence(None)), oids.PKI_DATA, None))
        assert [said(send(cmc, sent[-1])).status for _ in range(2)] == [0, 0], "the answer may have been lost"
    assert refused(send(cmc, sent[0])) == (400, BAD_REQUEST)
    assert cmc.est.full_cmc.store.revocation_reason(f"{own.serial_number:x}") == 1


def query(draft: Draft, token: bytes) -> bytes:
    draft.more, draft.proof, draft.link = (octets(oids.QUERY_PENDING, token),), False, False
    empty = request_sequence(None)
    return draft.wrap(pki_data(draft.controls(empty), empty))


def test_est_207_who_asks_for_what_waits_may_ask_again(cmc):
    """RFC 5272 section 6.13: the same bytes every time; they make one certificate, and change nothing for others."""
    cmc.policy.require_approval = True
    draft = Plain(signed_at=None)
    token = said(send(cmc, draft.message())).pend_token
    message = query(draft, token)
    assert [said(send(cmc, message)).status for _ in range(3)] == [3] * 3
    cmc.est.queue.decide(None, approve=True)
    found = [send(cmc, message).body for _ in range(3)]
    assert (len(set(found)), issued(cmc)) == (1, 1)


def test_est_207_a_copy_of_a_query_does_not_disturb_who_has_nonces(cmc):
    """The nonce to go on from is the one of an answer that had one."""
    cmc.policy.require_approval = True
    draft = Draft()
    answer = said(send(cmc, draft.message()))
    token, nonce = answer.pend_token, answer.controls[oids.SENDER_NONCE][2:]
    plain = Plain(key=draft.key)
    plain.controls = lambda requests: [one for one in Draft.controls(plain, requests) if one.oid != oids.SENDER_NONCE]
    assert said(send(cmc, query(plain, token))).status == 3
    draft.nonce = b"another one of the client"
    draft.more = (octets(oids.QUERY_PENDING, token), octets(oids.RECIPIENT_NONCE, nonce))
    draft.proof, draft.link, empty = False, False, request_sequence(None)
    assert said(send(cmc, draft.wrap(pki_data(draft.controls(empty), empty)))).status == 3


def test_copies_are_known_after_a_restart_and_undated_ones_after_days(cmc, tmp_path):
    """What says when it was made is refused by that; what does not is known as long as there is room."""
    dated, undated = Plain().message(), Plain(signed_at=None).message()
    assert [send(cmc, one).status for one in (dated, undated)] == [200, 200]
    cmc.stop()
    with ReferenceServer(tmp_path / "server", policy=cmc.policy) as again:
        assert [refused(send(again, one)) for one in (dated, undated)] == [(400, BAD_REQUEST)] * 2
        clock = again.clock
        again.clock = lambda: clock() + again.est.full_cmc.store.remember + timedelta(hours=1)
        assert [refused(send(again, one))[0] for one in (dated, undated)] == [400, 400]
        assert issued(again) == 2
