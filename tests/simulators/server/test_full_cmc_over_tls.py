"""Full PKI Requests that the server refuses, each carried over TLS and bound to its connection, wrong in one way only."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from cryptography import x509
from device_sdk_simulators.ca.hierarchy import make_authority
from device_sdk_simulators.ca.issue import Wish, issue
from device_sdk_simulators.http.messages import Response
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc5652, rfc6402

from device_sdk.model.http import ConnectionFacts, HttpRequest
from device_sdk.model.trust import ServerTrust
from device_sdk.protocols.est.binding import channel_binding
from device_sdk.transports.https import HttpsTransport
from device_sdk.wire import der
from device_sdk.wire.cmc import oids
from device_sdk.wire.cmc.pki_data import Control, octets, pki_data, request_sequence
from device_sdk.wire.cms.signing import Signer, sign_data
from tests.simulators.server.full_cmc_requests import (
    MEDIA,
    SECRET,
    Draft,
    by,
    new_key,
    no_signature,
    refused,
    said,
    spki,
)
from tests.simulators.server.support import EST, name

Build = Callable[[str], bytes]
"""Makes a message for the connection of that binding."""

BAD_MESSAGE_CHECK, BAD_REQUEST, BAD_TIME, BAD_IDENTITY, POP_REQUIRED, POP_FAILED = 1, 2, 3, 7, 8, 9
DAY = timedelta(days=1)


@pytest.fixture
def cmc(server):
    server.policy.fullcmc = server.policy.require_binding = True
    server.est.full_cmc.store.add_secret("dev-1", SECRET.encode())
    return server


@pytest.fixture
def post(cmc):
    """Carry a message over TLS, each time over a connection of its own."""
    root = x509.load_pem_x509_certificate(cmc.ca_file.read_bytes())

    def run(build: Build) -> Response:
        def body(facts: ConnectionFacts) -> bytes:
            return base64.b64encode(build(channel_binding(facts) or ""))

        transport = HttpsTransport(cmc.url, ServerTrust(explicit=(root,)))
        try:
            answer = transport.send(HttpRequest("POST", f"{EST}fullcmc", (MEDIA,), body))
        finally:
            transport.close()
        return Response(answer.status_code, list(answer.headers), answer.body)

    return run


def draft(**changes) -> Build:
    """A request of a client with a shared secret, but for the changes."""
    return lambda binding: Draft(**({"binding": binding} | changes)).message()


def swapped(binding: str) -> bytes:
    """Somebody else's request in a message whose proof is over the first one."""
    mine, other = Draft(binding=binding), Draft(binding=binding)
    controls = mine.controls(request_sequence(mine.csr()))
    return other.wrap(pki_data(controls, request_sequence(other.csr())))


def other_random(binding: str) -> bytes:
    wrong = Draft(binding=binding)
    csr = wrong.csr()
    wrong.random = b"r" * 64
    return wrong.message(csr)


def altered(binding: str) -> bytes:
    """The transaction becomes another one, the signature stays."""
    return Draft(binding=binding).message().replace(der.integer(4711), der.integer(4712))


def not_signed(binding: str) -> bytes:
    wrong = Draft(binding=binding)
    return wrong.message(no_signature(wrong.csr()))


def forged_csr(binding: str) -> bytes:
    wrong = Draft(binding=binding)
    csr = wrong.csr()
    return wrong.message(csr[:-1] + bytes([csr[-1] ^ 1]))


def crmf(binding: str) -> bytes:
    """CertReqMsg of RFC 4211 with an empty template."""
    wrong = Draft(binding=binding)
    requests = der.sequence(der.tlv(0xA1, der.sequence(der.integer(9), der.sequence())))
    return wrong.wrap(pki_data(wrong.controls(requests), requests))


def other_signer(binding: str) -> bytes:
    """Named by the identifier of the request's key, signed with another."""
    wrong = Draft(binding=binding)
    identifier = x509.SubjectKeyIdentifier.from_public_key(wrong.key.public_key()).digest
    wrong.signer = Signer(new_key(), key_identifier=identifier)
    return wrong.message()


def vouched(binding: str) -> bytes:
    """raPopWitness: somebody says that the client has the key."""
    witness = der.sequence(der.integer(0), der.sequence(der.integer(1)))
    return Draft(binding=binding, more=(Control(str(rfc6402.id_cmc_lraPOPWitness), witness),)).message()


def strangers(binding: str) -> bytes:
    """Signed with a certificate of a CA nobody here knows, which has our CA's name."""
    now, key = datetime.now(UTC), new_key()
    authority = make_authority("Stranger", new_key(), now)
    certificate = issue(authority, Wish(name(), key.public_key(), x509.Extensions([]), now - DAY, now + DAY))
    return by(certificate, key, binding=binding).message()


def response(binding: str) -> bytes:
    """The right content, signed by the right key, under the name of an answer."""
    wrong = Draft(binding=binding)
    requests = request_sequence(wrong.csr())
    identifier = x509.SubjectKeyIdentifier.from_public_key(wrong.key.public_key()).digest
    signer = Signer(wrong.key, key_identifier=identifier)
    return sign_data(pki_data(wrong.controls(requests), requests), oids.PKI_RESPONSE, signer)


def renamed(binding: str) -> bytes:
    """What was signed as an answer is called PKI data: the signed content type tells (RFC 5652 section 11.1)."""
    return response(binding).replace(der.oid(oids.PKI_RESPONSE), der.oid(oids.PKI_DATA), 1)


def twice_signed(binding: str) -> bytes:
    info, _ = decode(Draft(binding=binding).message(), asn1Spec=rfc5652.ContentInfo())
    data, _ = decode(info["content"], asn1Spec=rfc5652.SignedData())
    data["signerInfos"].append(data["signerInfos"][0])
    info["content"] = encode(data)
    return encode(info)


def nonsense(_binding: str) -> bytes:
    return b"\x30\x03\x02\x01\x05"


ATTACKS: dict[str, tuple[Build, tuple[int, int | None]]] = {
    "EST-204: no PKI data": (nonsense, (400, BAD_REQUEST)),
    "EST-204: an answer": (response, (400, BAD_REQUEST)),
    "EST-205: signed as something else": (renamed, (400, BAD_MESSAGE_CHECK)),
    "EST-205: two signatures": (twice_signed, (400, BAD_REQUEST)),
    "EST-205: another signer than the key of the request": (other_signer, (400, BAD_MESSAGE_CHECK)),
    "EST-205: a signer of no identifier of the request": (draft(key_id=b"x" * 20), (400, BAD_MESSAGE_CHECK)),
    "EST-205: altered after it was signed": (altered, (400, BAD_MESSAGE_CHECK)),
    "EST-205: a certificate of a stranger's CA": (strangers, (403, BAD_MESSAGE_CHECK)),
    "EST-207: another secret": (draft(secret="guess"), (403, BAD_IDENTITY)),
    "EST-207: an unknown name": (draft(identification="dev-2"), (403, BAD_IDENTITY)),
    "EST-207: no name": (draft(identification=None), (403, BAD_IDENTITY)),
    "EST-207: no proof": (draft(proof=False), (401, BAD_IDENTITY)),
    "EST-207: the proof of another request": (swapped, (403, BAD_IDENTITY)),
    "EST-207: no pop link": (draft(link=False), (400, POP_FAILED)),
    "EST-207: the pop link of another random": (other_random, (400, POP_FAILED)),
    "EST-207: a PKCS#10 with a wrong signature": (forged_csr, (400, POP_FAILED)),
    "EST-207: an RA that vouches for the key": (vouched, (400, POP_FAILED)),
    "EST-207: yesterday's message": (lambda b: Draft(binding=b, signed_at=datetime.now(UTC) - DAY).message(), (400, BAD_TIME)),
    "EST-207: tomorrow's message": (lambda b: Draft(binding=b, signed_at=datetime.now(UTC) + DAY).message(), (400, BAD_TIME)),
    "EST-207: an unknown control": (draft(more=(Control("2.999.1", b"\x05\x00"),)), (400, BAD_REQUEST)),
    "EST-207: a control twice": (draft(more=(octets(oids.SENDER_NONCE, b"n"),)), (400, BAD_REQUEST)),
    "EST-208: a PKCS#10 that nobody signed": (not_signed, (400, POP_REQUIRED)),
    "EST-208: CRMF, which is noSupport": (crmf, (400, None)),
    "EST-102: the binding of another connection": (draft(binding="AAAA"), (400, POP_FAILED)),
    "EST-102: no binding": (draft(binding=None), (400, POP_FAILED)),
}  # fmt: skip


@pytest.mark.parametrize("what", list(ATTACKS))
def test_wrong_in_one_way(what, cmc, post):
    """Refused with a status of HTTP and one of CMC (EST-206); nothing is issued or waits, and the honest request is served."""
    build, expected = ATTACKS[what]
    response = post(build)
    assert refused(response) == expected
    assert dict(response.headers)["Content-Type"] == "application/pkcs7-mime; smime-type=CMC-response"
    assert cmc.est.register.entries() == []
    assert cmc.est.queue.entries() == []
    assert post(draft()).status == 200
    assert cmc.log()[-1]["binding"] == "tls-exporter"


def test_est_207_proofs_beside_a_certificate(cmc, post):
    """RFC 5272 section 3.2: a renewal has none; nothing is issued."""
    first = Draft()
    answer = said(post(lambda binding: replace(first, binding=binding).message()))
    mine = next(one for one in answer.certificates if spki(one) == spki(first.key))
    renewal = partial(by, mine, first.key)
    assert refused(post(lambda binding: renewal(binding=binding, proof=True).message())) == (400, BAD_REQUEST)
    assert len(cmc.est.register.entries()) == 1
    assert post(lambda binding: renewal(binding=binding).message()).status == 200


def test_est_207_a_message_that_was_seen_before(cmc, post):
    """RFC 5272 section 6.6: a copy gets nothing, over whichever connection; the binding is not asked for here."""
    cmc.policy.require_binding = False
    message = Draft(binding=None).message()
    first = post(lambda _binding: message)
    assert first.status == 200
    assert refused(post(lambda _binding: message)) == (400, BAD_REQUEST)
    assert len(cmc.est.register.entries()) == 1


def test_est_207_nobody_else_collects_what_waits(cmc, post):
    """Approved, and asked for by another key, another token, another transaction; then by the right one."""
    cmc.policy.require_approval, cmc.policy.require_binding = True, False
    mine = Draft(binding=None)
    waiting = said(post(lambda _binding: mine.message()))
    assert waiting.status == 3
    assert cmc.est.queue.decide(None, approve=True) == 1

    def query(one: Draft, token: bytes) -> Build:
        one.more, one.proof, one.link = (octets(oids.QUERY_PENDING, token),), False, False
        one.nonce = new_key().private_numbers().private_value.to_bytes(32, "big")
        empty = request_sequence(None)
        message = one.wrap(pki_data(one.controls(empty), empty))
        return lambda _binding: message

    assert refused(post(query(Draft(binding=None), waiting.pend_token))) == (400, BAD_MESSAGE_CHECK)
    assert refused(post(query(mine, b"guess"))) == (400, BAD_REQUEST)
    mine.number = 1
    assert refused(post(query(mine, waiting.pend_token))) == (400, BAD_REQUEST)
    assert cmc.est.register.entries() == []
    mine.number = 4711
    collected = said(post(query(mine, waiting.pend_token)))
    assert spki(mine.key) in [spki(one) for one in collected.certificates]
