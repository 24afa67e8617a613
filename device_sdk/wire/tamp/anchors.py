"""TrustAnchorChoice: a trust anchor as a Certificate, a TBSCertificate or a TrustAnchorInfo (RFC 5914; T-16)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from enum import Enum, unique

from device_sdk.wire import der
from device_sdk.wire.cms.reader import BIT_STRING, INTEGER, OCTET_STRING, OID, SEQUENCE, PlainReader, Reader
from device_sdk.wire.tamp.controls import PathControls, controls_of, read_controls, read_name
from device_sdk.wire.tamp.extensions import Extensions, encode_extensions, read_extensions
from device_sdk.wire.tamp.reference import read_key_id
from device_sdk.wire.tamp.strict import UTF8_STRING, several

MAX_ANCHOR_BYTES = 16 * 1024
MAX_ANCHORS = 256
MAX_TITLE = 64

SUBJECT_KEY_IDENTIFIER = "2.5.29.14"
TRUST_ANCHOR_LIST = "1.2.840.113549.1.9.16.1.34"
CONTENT_CONSTRAINTS = "1.3.6.1.5.5.7.1.18"

_CONTENT, _TBS, _INFO = 0xA0, 0xA1, 0xA2
_EXTENSIONS, _LANGUAGE = 0xA1, 0x82
_VERSION_OF_TBS, _ISSUER_ID, _SUBJECT_ID, _EXTENSIONS_OF_TBS = 0xA0, 0x81, 0x82, 0xA3


@unique
class AnchorFormat(Enum):
    """In which of the three forms it came, and is kept."""

    CERTIFICATE = "Certificate"
    TBS = "TBSCertificate"
    INFO = "TrustAnchorInfo"


@dataclass(frozen=True)
class TrustAnchor:
    """One trust anchor, whatever its form.

    Attributes:
        form: the form.
        encoded: DER of the TrustAnchorChoice.
        public_key: DER SubjectPublicKeyInfo, as it is in there.
        key_id: names the key in signatures; several anchors may have the same (T-13).
        controls: for paths below it; None if there must be none.
        extensions: all that it has.
        title: for people.
        language: of the title.
    """

    form: AnchorFormat
    encoded: bytes = field(repr=False)
    public_key: bytes = field(repr=False)
    key_id: bytes
    controls: PathControls | None = None
    extensions: Extensions = field(default_factory=dict)
    title: str | None = None
    language: str | None = None

    @property
    def effective(self) -> tuple[PathControls | None, Extensions]:
        """Controls and extensions, those of the certificate within counted where nothing takes their place (section 2.5)."""
        if self.controls is None or self.controls.certificate is None:
            return self.controls, self.extensions
        inner = read_anchor(PlainReader(self.controls.certificate))
        given, own = self.controls, inner.controls
        if own is None:
            return given, self.extensions
        controls = replace(
            given,
            policies=own.policies if given.policies is None else given.policies,
            flags=own.flags if given.flags is None else given.flags,
            names=own.names if given.names is None else given.names,
            path_length=own.path_length if given.path_length is None else given.path_length,
        )
        return controls, {**inner.extensions, **self.extensions}


def read_anchor(reader: Reader) -> TrustAnchor:
    """Read a TrustAnchorChoice.

    Raises:
        ValueError: it cannot be read, or is too long.
    """
    tag = reader.next_tag
    encoded = reader.element()
    if len(encoded) > MAX_ANCHOR_BYTES:
        raise ValueError(f"a trust anchor longer than {MAX_ANCHOR_BYTES} bytes")
    inner = PlainReader(encoded)
    if tag == SEQUENCE:
        certificate = inner.enter()
        found = _read_tbs(certificate.enter(), encoded, AnchorFormat.CERTIFICATE)
        certificate.element(SEQUENCE)
        certificate.contents(BIT_STRING)
        certificate.finish()
        return found
    if tag == _TBS:
        explicit = inner.enter(_TBS)
        found = _read_tbs(explicit.enter(), encoded, AnchorFormat.TBS)
        explicit.finish()
        return found
    explicit = inner.enter(_INFO)
    found = _read_info(explicit.enter(), encoded)
    explicit.finish()
    return found


def read_anchors(members: Reader) -> tuple[TrustAnchor, ...]:
    """TrustAnchorChoiceList or TrustAnchorList, from its inside.

    Raises:
        ValueError: it cannot be read, or is empty or too long.
    """
    return several(members, read_anchor, MAX_ANCHORS)


def choices_of(encoded: bytes) -> tuple[bytes, ...]:
    """DER of each TrustAnchorChoice of a TrustAnchorList, bare or in a ContentInfo, unread; none of what is something else.

    Whether it is a list is seen by its members: a Certificate ends with a BIT STRING, which no anchor begins with.

    Raises:
        ValueError: there are more than MAX_ANCHORS.
    """
    found: list[bytes] = []
    try:
        data = PlainReader(encoded)
        members = data.enter()
        data.finish()
        if members.next_tag == OID and members.oid() == TRUST_ANCHOR_LIST:
            content = members.enter(_CONTENT)
            members.finish()
            members = content.enter()
            content.finish()
        while members.next_tag is not None and len(found) <= MAX_ANCHORS:
            if members.next_tag not in (SEQUENCE, _TBS, _INFO):
                return ()
            found.append(members.element())
    except ValueError:
        return ()
    if len(found) > MAX_ANCHORS:
        raise ValueError(f"more than {MAX_ANCHORS} trust anchors")
    return tuple(found)


def encode_info(anchor: TrustAnchor) -> bytes:
    """DER of the TrustAnchorChoice of an anchor in the form of a TrustAnchorInfo, out of its parts."""
    extensions = encode_extensions(anchor.extensions)
    return der.tlv(
        _INFO,
        der.sequence(
            anchor.public_key,
            der.tlv(OCTET_STRING, anchor.key_id),
            b"" if anchor.title is None else der.tlv(UTF8_STRING, anchor.title.encode()),
            b"" if anchor.controls is None else anchor.controls.encode(),
            der.tlv(_EXTENSIONS, extensions) if extensions else b"",
            b"" if anchor.language is None else der.tlv(_LANGUAGE, anchor.language.encode()),
        ),
    )


def read_title(data: Reader) -> str:
    """A TrustAnchorTitle.

    Raises:
        ValueError: not one to 64 characters.
    """
    title = data.contents(UTF8_STRING).decode("utf-8")
    if not 0 < len(title) <= MAX_TITLE:
        raise ValueError("a title of a strange length")
    return title


def _read_info(data: Reader, encoded: bytes) -> TrustAnchor:
    if data.next_tag == INTEGER:
        raise ValueError("a TrustAnchorInfo of another version, or a default that is written out")
    public_key, key_id = data.element(SEQUENCE), read_key_id(data)
    title = read_title(data) if data.next_tag == UTF8_STRING else None
    controls = read_controls(data) if data.next_tag == SEQUENCE else None
    extensions = _explicit_extensions(data, _EXTENSIONS)
    language = data.contents(_LANGUAGE).decode("utf-8") if data.next_tag == _LANGUAGE else None
    data.finish()
    found = TrustAnchor(AnchorFormat.INFO, encoded, public_key, key_id, controls, extensions, title, language)
    if controls is not None and controls.certificate is not None:
        _require_fitting(found, controls)
    return found


def _require_fitting(anchor: TrustAnchor, controls: PathControls) -> None:
    inner = read_anchor(PlainReader(controls.certificate or b""))
    same_id = SUBJECT_KEY_IDENTIFIER not in inner.extensions or inner.key_id == anchor.key_id
    if (
        inner.controls is None
        or inner.controls.name != controls.name
        or inner.public_key != anchor.public_key
        or not same_id
    ):
        raise ValueError("a trust anchor with the certificate of another one")


def _read_tbs(data: Reader, encoded: bytes, form: AnchorFormat) -> TrustAnchor:
    data.skip(_VERSION_OF_TBS)
    data.contents(INTEGER)
    data.element(SEQUENCE)  # signature
    data.element(SEQUENCE)  # issuer
    data.element(SEQUENCE)  # validity
    name, public_key = read_name(data), data.element(SEQUENCE)
    data.skip(_ISSUER_ID)
    data.skip(_SUBJECT_ID)
    extensions = _explicit_extensions(data, _EXTENSIONS_OF_TBS)
    data.finish()
    controls = controls_of(name, extensions)
    return TrustAnchor(form, encoded, public_key, _key_id_of(public_key, extensions), controls, extensions)


def _explicit_extensions(data: Reader, tag: int) -> Extensions:
    if data.next_tag != tag:
        return {}
    explicit = data.enter(tag)
    found = read_extensions(explicit)
    explicit.finish()
    return found


def _key_id_of(public_key: bytes, extensions: Extensions) -> bytes:
    """The extension's value, or, where there is none, that of RFC 5280 section 4.2.1.2, method 1."""
    if SUBJECT_KEY_IDENTIFIER in extensions:
        return read_key_id(PlainReader(extensions[SUBJECT_KEY_IDENTIFIER].value))
    key = PlainReader(public_key).enter()
    key.element(SEQUENCE)
    return hashlib.sha1(key.contents(BIT_STRING)[1:], usedforsecurity=False).digest()
