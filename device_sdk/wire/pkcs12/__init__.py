"""PKCS#12: a private key and its certificate behind a password (RFC 7292, RFC 9579)."""

from device_sdk.wire.pkcs12.reader import KeyAndCertificates, read_pkcs12

__all__ = ["KeyAndCertificates", "read_pkcs12"]
