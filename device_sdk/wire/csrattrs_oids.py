"""The object identifiers that a /csrattrs answer is made of, and what they mean (spec section 12, EST-177's table)."""

from __future__ import annotations

CHALLENGE_PASSWORD = "1.2.840.113549.1.9.7"  # noqa: S105  # an OID
EXTENSION_REQUEST = "1.2.840.113549.1.9.14"
OTP_CHALLENGE = "1.2.840.113549.1.9.16.2.56"
REVOCATION_CHALLENGE = "1.2.840.113549.1.9.16.2.57"
EST_IDENTITY_LINKING = "1.2.840.113549.1.9.16.2.58"
CHALLENGES = (CHALLENGE_PASSWORD, OTP_CHALLENGE, REVOCATION_CHALLENGE, EST_IDENTITY_LINKING)
MAC_ADDRESS = "1.3.6.1.1.1.1.22"
SUBJECT_ALT_NAME = "2.5.29.17"
SUBJECT_DIRECTORY_ATTRIBUTES = "2.5.29.9"

TEMPLATE = "1.2.840.113549.1.9.16.2.61"
# RFC 9908's own dump prints the second form (EST-184).
EXTENSION_REQUEST_TEMPLATE = ("1.2.840.113549.1.9.16.2.62", "1.2.840.113549.1.9.62")

EC_PUBLIC_KEY = "1.2.840.10045.2.1"
RSA_ENCRYPTION = "1.2.840.113549.1.1.1"
KEY_TYPES = {
    EC_PUBLIC_KEY: "ec",
    RSA_ENCRYPTION: "rsa",
    "1.3.101.112": "Ed25519",
    "1.3.101.113": "Ed448",
    "1.3.101.110": "X25519",
    "1.3.101.111": "X448",
    "1.2.840.10040.4.1": "DSA",
    "2.16.840.1.101.3.4.3.17": "ML-DSA-44",
    "2.16.840.1.101.3.4.3.18": "ML-DSA-65",
    "2.16.840.1.101.3.4.3.19": "ML-DSA-87",
}

CURVES = {
    "1.2.840.10045.3.1.7": "secp256r1",
    "1.3.132.0.34": "secp384r1",
    "1.3.132.0.35": "secp521r1",
    "1.3.36.3.3.2.8.1.1.7": "brainpoolP256r1",
    "1.3.36.3.3.2.8.1.1.11": "brainpoolP384r1",
    "1.3.36.3.3.2.8.1.1.13": "brainpoolP512r1",
    "1.2.840.10045.3.1.1": "secp192r1",
    "1.3.132.0.4": "sect113r1",
    "1.3.132.0.10": "secp256k1",
    "1.3.132.0.33": "secp224r1",
}
_CURVE_ARCS = ("1.3.132.0.", "1.3.36.3.3.2.8.1.1.", "1.2.840.10045.3.0.", "1.2.840.10045.3.1.")

# OID: name, key family, hash; a bare hash has no family, RSASSA-PSS names no hash.
SIGNATURES: dict[str, tuple[str, str | None, str | None]] = {
    "1.2.840.10045.4.1": ("ecdsa-with-SHA1", "ec", "sha1"),
    "1.2.840.10045.4.3.1": ("ecdsa-with-SHA224", "ec", "sha224"),
    "1.2.840.10045.4.3.2": ("ecdsa-with-SHA256", "ec", "sha256"),
    "1.2.840.10045.4.3.3": ("ecdsa-with-SHA384", "ec", "sha384"),
    "1.2.840.10045.4.3.4": ("ecdsa-with-SHA512", "ec", "sha512"),
    "1.2.840.113549.1.1.4": ("md5WithRSAEncryption", "rsa", "md5"),
    "1.2.840.113549.1.1.5": ("sha1WithRSAEncryption", "rsa", "sha1"),
    "1.2.840.113549.1.1.14": ("sha224WithRSAEncryption", "rsa", "sha224"),
    "1.2.840.113549.1.1.11": ("sha256WithRSAEncryption", "rsa", "sha256"),
    "1.2.840.113549.1.1.12": ("sha384WithRSAEncryption", "rsa", "sha384"),
    "1.2.840.113549.1.1.13": ("sha512WithRSAEncryption", "rsa", "sha512"),
    "1.2.840.113549.1.1.10": ("RSASSA-PSS", "rsa", None),
    "1.2.840.113549.2.5": ("md5", None, "md5"),
    "1.3.14.3.2.26": ("sha1", None, "sha1"),
    "2.16.840.1.101.3.4.2.4": ("sha224", None, "sha224"),
    "2.16.840.1.101.3.4.2.1": ("sha256", None, "sha256"),
    "2.16.840.1.101.3.4.2.2": ("sha384", None, "sha384"),
    "2.16.840.1.101.3.4.2.3": ("sha512", None, "sha512"),
}
RSASSA_PSS = "1.2.840.113549.1.1.10"

_NAME_ARC = "2.5.4."
_NAME_TYPES = ("0.9.2342.19200300.100.1.1", "0.9.2342.19200300.100.1.25", "1.2.840.113549.1.9.1")


def curve_name(oid: str) -> str | None:
    """The name of a curve, its dotted OID for one not in the table, None if the OID is not a curve's."""
    if oid in CURVES:
        return CURVES[oid]
    return oid if oid.startswith(_CURVE_ARCS) else None


def is_name_attribute(oid: str) -> bool:
    """Whether an OID is an attribute type of subject names: X.520, UID, DC or emailAddress."""
    return oid.startswith(_NAME_ARC) or oid in _NAME_TYPES
