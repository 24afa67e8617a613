"""What a client that knows a shared secret has to show (RFC 5272 sections 6.2.1 and 6.3.1.1)."""

from __future__ import annotations

import hashlib
import hmac

from cryptography import x509
from pyasn1.codec.der.decoder import decode
from pyasn1.error import PyAsn1Error
from pyasn1_alt_modules import rfc6402

from device_sdk_simulators.cmc.pki_data import FullRequest
from device_sdk_simulators.cmc.refusal import BAD_ALG, BAD_IDENTITY, BAD_REQUEST, POP_FAILED, CmcRefusedError

_HASHES = {
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}
_MACS = {"1.2.840.113549.2.9": "sha256", "1.2.840.113549.2.10": "sha384", "1.2.840.113549.2.11": "sha512"}


def check_identity_proof(request: FullRequest, secret: bytes, identification: str | None) -> None:
    """CmcRefusedError (badIdentity) unless the client knows the secret.

    Section 6.2.3: with an identification, it is hashed behind the secret.
    """
    proof = request.controls[rfc6402.id_cmc_identityProofV2]
    names = str(proof.value["proofAlgID"]["algorithm"]), str(proof.value["macAlgId"]["algorithm"])
    named = secret + (identification or "").encode()
    expected = _witness(*names, named, request.requests_der, proof.body_part)
    if not hmac.compare_digest(expected, bytes(proof.value["witness"])):
        raise CmcRefusedError(
            BAD_IDENTITY, "the identity proof does not verify", body_parts=(proof.body_part,), http_status=403
        )


def check_pop_link(request: FullRequest, csr: x509.CertificateSigningRequest, secret: bytes) -> None:
    """CmcRefusedError (popFailed) unless the CSR carries what only who knows the secret can make, signed with its key."""
    part = request.request.body_part if request.request else 0
    random = request.octets(rfc6402.id_cmc_popLinkRandom)
    values = [a.value for a in csr.attributes if a.oid.dotted_string == str(rfc6402.id_cmc_popLinkWitnessV2)]
    if random is None or len(values) != 1:
        raise CmcRefusedError(POP_FAILED, "popLinkRandom and popLinkWitnessV2 are needed", body_parts=(part,))
    witness = _read_witness(_sequence(values[0]), part)
    names = str(witness["keyGenAlgorithm"]["algorithm"]), str(witness["macAlgorithm"]["algorithm"])
    expected = _witness(*names, secret, random, part)
    if not hmac.compare_digest(expected, bytes(witness["witness"])):
        raise CmcRefusedError(POP_FAILED, "popLinkWitnessV2 does not verify", body_parts=(part,))


def _sequence(value: bytes) -> bytes:
    """With the tag and length that cryptography takes off an attribute's value."""
    size = len(value)
    if size < 0x80:
        return bytes([0x30, size]) + value
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([0x30, 0x80 | len(octets)]) + octets + value


def _read_witness(der: bytes, part: int) -> rfc6402.PopLinkWitnessV2:
    try:
        return decode(der, asn1Spec=rfc6402.PopLinkWitnessV2())[0]
    except PyAsn1Error as error:
        raise CmcRefusedError(BAD_REQUEST, "popLinkWitnessV2 cannot be read", body_parts=(part,)) from error


def _witness(hash_oid: str, mac_oid: str, secret: bytes, message: bytes, part: int) -> bytes:
    if hash_oid not in _HASHES or mac_oid not in _MACS:
        raise CmcRefusedError(BAD_ALG, "SHA-256, SHA-384 or SHA-512 and HMAC with them, please", body_parts=(part,))
    return hmac.digest(hashlib.new(_HASHES[hash_oid], secret).digest(), message, _MACS[mac_oid])
