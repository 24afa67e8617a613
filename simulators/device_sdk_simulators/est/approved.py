"""What a person approves: all that a request says of the certificate, and nothing that changes with the connection."""

from __future__ import annotations

import hashlib
from contextlib import suppress

from cryptography import x509
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ

from device_sdk_simulators.est.attributes import CHALLENGE_PASSWORD, EST_IDENTITY_LINKING
from device_sdk_simulators.est.challenges import OTP_CHALLENGE, REVOCATION_CHALLENGE
from device_sdk_simulators.est.change_name import changed_name
from device_sdk_simulators.est.csr import CertificationRequest, key_name
from device_sdk_simulators.http.messages import HttpError

# the last two: popLinkWitness and popLinkWitnessV2 (RFC 5272 section 6.3, RFC 6402 section 2.9)
_CHANGING = {CHALLENGE_PASSWORD, EST_IDENTITY_LINKING, OTP_CHALLENGE, REVOCATION_CHALLENGE}
_CHANGING |= {"1.3.6.1.5.5.7.7.23", "1.3.6.1.5.5.7.7.33"}


def content_digest(request: CertificationRequest) -> str:
    """SHA-256, hex, of subject, key and every attribute: extensions, a new name, whom to encrypt a private key to.

    Where the server makes the key, its kind is what counts (EST-191).
    """
    kept = [one for one in request.csr.attributes if one.oid.dotted_string not in _CHANGING]
    parts = [request.csr.subject.public_bytes(), (request.spki_sha256 or key_name(request.public_key)).encode()]
    for one in sorted(kept, key=lambda one: one.oid.dotted_string):
        parts += [one.oid.dotted_string.encode(), bytes([one._type]), one.value]
    listed = univ.SequenceOf(componentType=univ.OctetString())
    listed.extend(parts)
    return hashlib.sha256(encode(listed)).hexdigest()


def summary(der: bytes) -> dict[str, str | None]:
    """What somebody who approves a CSR has to know besides its subject: "san", "usages" and "new_name"."""
    found: dict[str, str | None] = {"san": None, "usages": None, "new_name": None}
    with suppress(ValueError, x509.DuplicateExtension, HttpError):
        csr = x509.load_der_x509_csr(der)
        for extension in csr.extensions:
            if isinstance(extension.value, x509.SubjectAlternativeName):
                found["san"] = _names(extension.value)
            elif isinstance(extension.value, x509.ExtendedKeyUsage):
                found["usages"] = "EKU " + ", ".join(usage._name for usage in extension.value)
        changed = changed_name(csr)
        if changed is not None:
            names = [changed.subject.rfc4514_string(), _names(changed.san) if changed.san else ""]
            found["new_name"] = "to be called " + "; ".join(filter(None, names))
    return found


def _names(names: x509.SubjectAlternativeName) -> str:
    shown = []
    for name in names:
        value = name.value.rfc4514_string() if isinstance(name, x509.DirectoryName) else name.value
        shown.append(f"{type(name).__name__}:{value.hex() if isinstance(value, bytes) else value}")
    return "SAN " + ", ".join(shown)
