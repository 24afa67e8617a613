"""TrustAnchorChangeInfoChoice: what an anchor that is kept is to say from now on (RFC 5934 section 4.3)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from device_sdk.wire import der
from device_sdk.wire.cms.reader import INTEGER, OCTET_STRING, SEQUENCE, PlainReader, Reader
from device_sdk.wire.tamp.anchors import AnchorFormat, TrustAnchor, encode_info, read_anchor, read_title
from device_sdk.wire.tamp.controls import PathControls, read_controls
from device_sdk.wire.tamp.extensions import Extensions, read_extension_members, read_extensions
from device_sdk.wire.tamp.reference import read_key_id
from device_sdk.wire.tamp.strict import UTF8_STRING

_TBS, _INFO = 0xA0, 0xA1
_SIGNATURE, _ISSUER, _VALIDITY, _SUBJECT, _KEY, _EXTENSIONS_OF_TBS = 0xA0, 0xA1, 0xA2, 0xA3, 0xA4, 0xA5
_EXTENSIONS = 0xA1


@dataclass(frozen=True)
class AnchorChange:
    """A change.

    Attributes:
        form: of the anchors it is for.
        public_key: of the anchor, DER SubjectPublicKeyInfo.
        key_id: the new one; None keeps the old one.
        title: None for none.
        controls: None for none.
        extensions: all that it has from now on.
    """

    form: AnchorFormat
    public_key: bytes = field(repr=False)
    key_id: bytes | None = None
    title: str | None = None
    controls: PathControls | None = None
    extensions: Extensions = field(default_factory=dict)

    def applied_to(self, anchor: TrustAnchor) -> TrustAnchor:
        """The anchor as it is afterwards; one in the form of a TrustAnchorInfo.

        Raises:
            ValueError: what comes out is no trust anchor.
        """
        changed = replace(
            anchor,
            key_id=anchor.key_id if self.key_id is None else self.key_id,
            title=self.title,
            language=anchor.language if self.title is not None else None,
            controls=self.controls,
            extensions=self.extensions,
        )
        return read_anchor(PlainReader(encode_info(changed)))


def read_change(reader: Reader) -> AnchorChange:
    """Read a change.

    Raises:
        ValueError: it cannot be read.
    """
    if reader.next_tag == _TBS:
        return _read_tbs(reader.enter(_TBS))
    data = reader.enter(_INFO)
    public_key = data.element(SEQUENCE)
    key_id = read_key_id(data) if data.next_tag == OCTET_STRING else None
    title = read_title(data) if data.next_tag == UTF8_STRING else None
    controls = read_controls(data) if data.next_tag == SEQUENCE else None
    # implicit here, explicit in TrustAnchorInfo
    extensions = read_extension_members(data.enter(_EXTENSIONS)) if data.next_tag == _EXTENSIONS else {}
    data.finish()
    return AnchorChange(AnchorFormat.INFO, public_key, key_id, title, controls, extensions)


def _read_tbs(data: Reader) -> AnchorChange:
    """Only whose it is counts: no anchor is kept in this form (T-16)."""
    data.skip(INTEGER)
    for tag in (_SIGNATURE, _ISSUER, _VALIDITY, _SUBJECT):
        data.skip(tag)
    public_key = der.tlv(SEQUENCE, data.contents(_KEY))
    extensions: Extensions = {}
    if data.next_tag == _EXTENSIONS_OF_TBS:
        explicit = data.enter(_EXTENSIONS_OF_TBS)
        extensions = read_extensions(explicit)
        explicit.finish()
    data.finish()
    return AnchorChange(AnchorFormat.TBS, public_key, extensions=extensions)
