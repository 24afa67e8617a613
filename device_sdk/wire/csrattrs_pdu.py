"""The CSR template of RFC 8295 appendix B: a nearly complete PKCS#10 request in a pKCS7PDU attribute (N-06)."""

from __future__ import annotations

from asn1crypto import core

from device_sdk.errors import WireError
from device_sdk.wire import der
from device_sdk.wire.ber import children, contents_of
from device_sdk.wire.csrattrs_asn1 import Element, asn1_errors, element_of, oid_value
from device_sdk.wire.csrattrs_template import Attributes, Name, PublicKeyInfo, Template, key_of, subject_of

PKCS7_PDU = "1.2.840.113549.1.9.25.5"
_SIGNED_DATA = "1.2.840.113549.1.7.2"
_PKI_DATA = "1.3.6.1.5.5.7.12.2"
_PKCS10, _CRMF, _EXPLICIT = 0xA0, 0xA1, 0xA0
_WHAT = "CSR template of RFC 8295"

# asn1crypto has no types and describes structures by class attributes.
# mypy: disable-error-code="misc"
# ruff: noqa: RUF012


class _RequestInfo(core.Sequence):
    _fields = [
        ("version", core.Integer),
        ("subject", Name),
        ("public_key_info", PublicKeyInfo),
        ("attributes", Attributes, {"implicit": 0, "optional": True}),
    ]


class _Request(core.Sequence):
    """Public key and signature may be empty (RFC 9152)."""

    _fields = [("info", _RequestInfo), ("algorithm", core.Any), ("signature", core.BitString)]


class _TaggedRequest(core.Sequence):
    _fields = [("body_part_id", core.Integer), ("request", _Request)]


def read_pdu(element: Element) -> Template | None:
    """Take the request out of the attribute; None for one in CRMF, which this SDK does not make.

    The PKIData may have all its four lists, or the requests alone, as the appendix prints it.

    Raises:
        WireError: not that, or not exactly one request.
    """
    if len(element.values) != 1:
        raise WireError(f"a {_WHAT} with {len(element.values)} values instead of one", what=_WHAT)
    with asn1_errors(_WHAT):
        lists = [contents for _, _, contents in children(_pki_data(element.values[0]))]
        ((tag, _, tagged),) = children(lists[1 if len(lists) > 1 else 0])
        if tag == _CRMF:
            return None
        info = _TaggedRequest.load(der.sequence(tagged), strict=True)["request"]["info"]
        if tag != _PKCS10 or info["version"].native != 0:
            raise ValueError("no PKCS#10 request of version 1")
        attributes = info["attributes"]
        elements = () if isinstance(attributes, core.Void) else tuple(element_of(one) for one in attributes)
        # one without a name leaves it to the device
        return Template(subject_of(info["subject"]) or None, key_of(info["public_key_info"]), elements)


def _pki_data(message: bytes) -> bytes:
    """The contents of the PKIData in a ContentInfo; who signed it does not count, as the server of the list is known."""
    kind, content = _typed(contents_of(message))
    if kind == _SIGNED_DATA:
        _version, _digests, encapsulated, *_ = children(contents_of(content))
        kind, content = _typed(encapsulated[2])
        content = contents_of(content)
    if kind != _PKI_DATA:
        raise ValueError("no PKIData")
    return contents_of(content)


def _typed(contents: bytes) -> tuple[str | None, bytes]:
    """SEQUENCE { type, [0] EXPLICIT content }, from its contents."""
    (_, kind, _), (tag, _, content) = children(contents)
    if tag != _EXPLICIT:
        raise ValueError("no content")
    return oid_value(kind), content
