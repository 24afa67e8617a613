"""Answers to /fullcmc that nobody vouches for, or that are none: RFC 5272 sections 4 and 6.1."""

from __future__ import annotations

import pytest
from cryptography import x509
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc5652, rfc6402

from device_sdk.errors import (
    CmcUntrustedError,
    HttpStatusError,
    RemoteProtocolError,
    ResponseTooLargeError,
)
from tests.est.full_cmc_answers import CmcServer, cmc
from tests.est.pki import NOW, Ca, new_key
from tests.est.scripted_server import http
from tests.est.test_full_cmc_answers import DAY


def test_a_replayed_answer(ask, other_side):
    """The second request gets the answer of the first one, word by word, for the same key."""
    key, old = new_key(), []

    def first(seen):
        old.append(cmc(other_side.message(other_side.answer(seen))))
        return old[0]

    ask(first, key=key)
    with pytest.raises(CmcUntrustedError) as caught:
        ask(lambda seen: old[0], key=key)
    assert caught.value.reason == "nonce"


def _signers(ca: Ca):
    stranger = Ca.root("Somebody else")
    same_name = Ca.root("EST root")
    return {
        "a stranger": CmcServer.speaker(stranger),
        "a CA of the same name": CmcServer.speaker(same_name),
        "a device of the CA": CmcServer.device(ca),
        "a server of the CA": CmcServer.speaker(ca, x509.ObjectIdentifier("1.3.6.1.5.5.7.3.1")),
        "an expired speaker": CmcServer.speaker(ca, not_before=NOW - 9 * DAY, not_after=NOW - 2 * DAY),
        "a speaker of tomorrow": CmcServer.speaker(ca, not_before=NOW + 2 * DAY),
    }


@pytest.mark.parametrize("who", list(_signers(Ca.root())))
def test_est_206_who_may_not_sign(who, ca, ask, other_side):
    with pytest.raises(CmcUntrustedError) as caught:
        ask(other_side.says(signer=_signers(ca)[who]))
    assert caught.value.reason == "signature"
    assert caught.value.exit_code == 6
    assert ask.server.lines[-1] == "POST /.well-known/est/fullcmc"


def test_who_may_sign(ca, ask, other_side):
    """RFC 6402 section 2.10: id-kp-cmcCA or id-kp-cmcRA, or the CA itself."""
    ra = CmcServer.speaker(ca, x509.ObjectIdentifier("1.3.6.1.5.5.7.3.28"))
    assert ask(other_side.says(signer=ra)).enrolled
    intermediate = ca.issue_ca("Issuing")
    from device_sdk_simulators.ca.hierarchy import Authority

    assert ask(other_side.says(signer=Authority(intermediate.certificate, intermediate.key))).enrolled


def _without_signers(message: bytes) -> bytes:
    info, _ = decode(message, asn1Spec=rfc5652.ContentInfo())
    data, _ = decode(info["content"], asn1Spec=rfc5652.SignedData())
    data["signerInfos"].clear()
    info["content"] = encode(data)
    return encode(info)


def _altered(message: bytes) -> bytes:
    """The status "success" becomes something else, the signature stays."""
    control = encode(rfc6402.id_cmc_statusInfoV2)
    at = message.index(control) + len(control)
    return message[: at + 6] + bytes([message[at + 6] ^ 1]) + message[at + 7 :]


def _broken_signature(message: bytes) -> bytes:
    return message[:-1] + bytes([message[-1] ^ 1])


@pytest.mark.parametrize(
    ("twist", "reason"),
    [(_without_signers, "unsigned"), (_altered, "signature"), (_broken_signature, "signature")],
)
@pytest.mark.parametrize("status", [200, 400])
def test_unsigned_and_altered(twist, reason, status, ask, other_side):
    """A refusal that nobody vouches for is one of HTTP only; a success is none."""
    with pytest.raises(CmcUntrustedError if status == 200 else HttpStatusError) as caught:
        ask(other_side.twisted(twist, status))
    assert type(caught.value) in (CmcUntrustedError, HttpStatusError)
    assert getattr(caught.value, "reason", reason) == reason


def _nested(message: bytes) -> bytes:
    nested = b"\x05\x00"
    for _ in range(2000):
        size = len(nested)
        nested = b"\x30\x83" + size.to_bytes(3, "big") + nested
    return nested


@pytest.mark.parametrize(
    "twist",
    [
        lambda m: m[:-20],
        lambda m: m + b"\x05\x00",
        lambda m: b"\x30\x80" + m,
        _nested,
        lambda m: b"\x30\x84\xff\xff\xff\xff" + m,
        lambda m: m.replace(encode(rfc5652.id_signedData), encode(rfc5652.id_envelopedData), 1),
        lambda m: m.replace(encode(rfc6402.id_cct_PKIResponse), encode(rfc6402.id_cct_PKIData), 1),
        lambda m: b"\x30\x00",
        lambda m: b"",
    ],
    ids=["cut", "trailing", "indefinite", "nested", "huge length", "enveloped", "other type", "empty", "nothing"],
)
def test_not_a_pki_response(twist, ask, other_side):
    with pytest.raises(RemoteProtocolError) as caught:
        ask(other_side.twisted(twist))
    assert type(caught.value) is RemoteProtocolError


def _signed(change):
    """A handler whose content is wrong, and signed by the right one all the same."""

    def handler(seen, other_side):
        answer = other_side.answer(seen)
        response, _ = decode(answer.content(), asn1Spec=rfc6402.PKIResponse())
        return cmc(other_side.message(answer, content=change(response)))

    return handler


def _repeat(response, times):
    control = response["controlSequence"][1]
    for number in range(times):
        copy = rfc6402.TaggedAttribute()
        copy["bodyPartID"] = 100 + number
        copy["attrType"] = control["attrType"]
        copy["attrValues"][0] = control["attrValues"][0]
        response["controlSequence"].append(copy)
    return encode(response)


def _same_part(response):
    response["controlSequence"][1]["bodyPartID"] = 1
    return encode(response)


def _two_values(response):
    response["controlSequence"][1]["attrValues"][1] = encode(univ.Integer(1))
    return encode(response)


@pytest.mark.parametrize(
    "change",
    [
        lambda r: _repeat(r, 1),
        lambda r: _repeat(r, 200),
        _same_part,
        _two_values,
        lambda r: encode(r)[:-4],
        lambda r: b"\x04\x02\x30\x00",
    ],
    ids=["control twice", "200 controls", "body part twice", "two values", "cut inside", "no sequence"],
)
def test_signed_nonsense(change, ask, other_side):
    handler = _signed(change)
    with pytest.raises(RemoteProtocolError):
        ask(lambda seen: handler(seen, other_side))


def test_huge_answers_are_cut_off(ask):
    with pytest.raises(ResponseTooLargeError):
        ask(lambda seen: http(200, b"A" * (1024 * 1024 + 1), ("Content-Type", "application/pkcs7-mime")))
