"""Carries out the faults of /serverkeygen; an honest server has no such file."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import datetime, timedelta

from cryptography.x509.oid import ExtendedKeyUsageOID
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc5652, rfc5958

from device_sdk_simulators.ca.hierarchy import Authority, Hierarchy, make_authority
from device_sdk_simulators.ca.keys import CaKey, new_key
from device_sdk_simulators.cmc.answer import signed_data
from device_sdk_simulators.est.key_generator import KEY_GENERATION, appoint
from device_sdk_simulators.est.odd_multipart import odd_multipart
from device_sdk_simulators.est.server_key_package import private_key_info, signed_package
from device_sdk_simulators.faults import Faults
from device_sdk_simulators.http.messages import Response

_YEAR = timedelta(days=365)
_OPERATION = "serverkeygen"
_OTHER_USAGES = {"device": ExtendedKeyUsageOID.CLIENT_AUTH, "server": ExtendedKeyUsageOID.SERVER_AUTH}
_PART = re.compile(rb"--est-[0-9a-f]{32}\r\n((?:[A-Z][^\r]+\r\n)+)\r\n(.*?)(?=--est-)", re.DOTALL)


class ServerKeySpoiler:
    """Spoils generated keys and the parts they travel in, if a fault says so."""

    def __init__(self, faults: Faults, clock: Callable[[], datetime]) -> None:
        self._faults = faults
        self._clock = clock

    def key(self, key: CaKey) -> CaKey:
        """The key to give."""
        return new_key("ec-p256") if self._faults.take("other_private_key", _OPERATION) else key

    def clear(self) -> bool:
        """Whether encryption is forgotten."""
        return self._faults.take("clear_key", _OPERATION) is not None

    def clear_part(self, key: CaKey) -> tuple[str, bytes]:
        """The key part in the clear."""
        return "application/pkcs8", private_key_info(key)

    def package(self, key: CaKey, hierarchy: Hierarchy) -> bytes | None:
        """A signed package that is not to be believed, or None for an honest one."""
        now = self._clock()
        who = self._faults.take("key_signer", _OPERATION, "unknown")
        what = self._faults.take("key_package", _OPERATION, "two")
        if who is None and what is None:
            return None
        signer_key = new_key("ec-p256")
        issuing = hierarchy.issuing
        if who == "unknown":
            issuing = make_authority(issuing.certificate.subject.rfc4514_string()[3:], new_key("ec-p256"), now)
        usage = _OTHER_USAGES.get(who or "", KEY_GENERATION)
        certificate = appoint(issuing, signer_key, now - (_YEAR if who == "expired" else timedelta(0)), usage=usage)
        signer, chain = Authority(certificate, signer_key), (certificate, *hierarchy.chain)
        if what is not None:
            return _other_package(what, key, signer, now)
        message = signed_package(key, signer, chain, now)
        if who == "nobody":
            return _without_signers(message)
        return (
            _with_signature_of(message, signed_package(new_key("ec-p256"), signer, chain, now))
            if who == "wrong"
            else message
        )

    def parts(self, response: Response) -> Response:
        """The answer in another dress."""
        variant = self._faults.take("multipart", _OPERATION, "lf")
        if variant is None:
            return response
        parts = [(headers, base64.b64decode(body)) for headers, body in _PART.findall(response.body)]
        value, response.body = odd_multipart(variant, parts)
        response.headers = [("Content-Type", value)]
        return response


def _other_package(what: str, key: CaKey, signer: Authority, now: datetime) -> bytes:
    """Signed content that is not a package of one key."""
    package = rfc5958.AsymmetricKeyPackage()
    for place in range({"two": 2, "none": 0, "other": 1}[what]):
        package[place] = decode(private_key_info(key), asn1Spec=rfc5958.OneAsymmetricKey())[0]
    content = bytes(encode(package)) if what != "none" else b"\x30\x00"
    content_type = rfc5652.id_data if what == "other" else rfc5958.id_ct_KP_aKeyPackage
    return signed_data(content, signer, [signer.certificate], now, content_type=content_type)


def _signed(message: bytes) -> rfc5652.SignedData:
    info = decode(message, asn1Spec=rfc5652.ContentInfo())[0]
    return decode(info["content"], asn1Spec=rfc5652.SignedData())[0]


def _message(signed: rfc5652.SignedData) -> bytes:
    info = rfc5652.ContentInfo()
    info["contentType"] = rfc5652.id_signedData
    info["content"] = encode(signed)
    return bytes(encode(info))


def _without_signers(message: bytes) -> bytes:
    signed = _signed(message)
    signed["signerInfos"].clear()
    return _message(signed)


def _with_signature_of(message: bytes, other: bytes) -> bytes:
    signed = _signed(message)
    signed["signerInfos"][0] = _signed(other)["signerInfos"][0]
    return _message(signed)
