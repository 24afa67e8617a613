"""What the libraries raise for bytes that are not what they should be: more than they say."""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from pyasn1.error import PyAsn1Error

UNREADABLE: tuple[type[Exception], ...] = (
    PyAsn1Error,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    # pyasn1: a length that no memory has, and elements inside each other without end
    OverflowError,
    RecursionError,
    # cryptography: certificates
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
