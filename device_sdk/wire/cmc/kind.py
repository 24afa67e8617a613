"""Which of the answers a server may give to a Full PKI Request a message is (RFC 5272 section 4)."""

from __future__ import annotations

from enum import Enum, unique

from device_sdk.errors import WireError
from device_sdk.wire.cms.definite import make_definite
from device_sdk.wire.cms.reader import SET, Reader

_SIGNED_DATA = "1.2.840.113549.1.7.2"
_DATA = "1.2.840.113549.1.7.1"


@unique
class AnswerKind(Enum):
    """The forms of a PKI Response."""

    CERTS_ONLY = "certs-only"
    SIGNED = "signed"
    UNSIGNED = "unsigned"


def answer_kind(message: bytes) -> AnswerKind:
    """Simple PKI Response, Full PKI Response with a signature, or one that nobody signed.

    Args:
        message: a ContentInfo, DER or BER.

    Raises:
        WireError: not a SignedData; AuthenticatedData is not supported.
    """
    try:
        outer = Reader(make_definite(message)).enter()
        if outer.oid() != _SIGNED_DATA:
            raise WireError("a CMS message that is not SignedData", what="PKI Response")
        data = outer.enter(0xA0).enter()
        data.integer()
        data.contents(SET)
        content_type = data.enter().oid()
        data.skip(0xA0)
        data.skip(0xA1)
        signers = data.contents(SET)
        data.finish()
    except ValueError as error:
        raise WireError(f"not a CMS SignedData: {error}", what="PKI Response") from error
    if content_type == _DATA:
        return AnswerKind.CERTS_ONLY
    return AnswerKind.SIGNED if signers else AnswerKind.UNSIGNED
