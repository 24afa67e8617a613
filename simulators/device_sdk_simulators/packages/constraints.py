"""What a signer may sign: CMS content constraints of a certificate or trust anchor (RFC 6010)."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc6010

EXTENSION = str(rfc6010.id_pe_cmsContentConstraints)


def content_constraints(content_types: Sequence[str], *, sources: bool = True) -> x509.UnrecognizedExtension:
    """The extension.

    Args:
        content_types: dotted.
        sources: whether it may be the innermost signer.
    """
    found = rfc6010.CMSContentConstraints()
    for position, one in enumerate(content_types):
        found[position]["contentType"] = one
        if not sources:
            found[position]["canSource"] = "cannotSource"
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(EXTENSION), bytes(encode(found)))
