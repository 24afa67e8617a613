"""The second pass over a firmware package: decrypted and inflated piece by piece into a sink (F-03, F-09, F-12, F-13)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from cryptography.hazmat.primitives import hashes

from device_sdk.wire.cms.ber_stream import Scope, Source
from device_sdk.wire.cms.oids import SIGNED_DATA
from device_sdk.wire.cms.passes import Spool
from device_sdk.wire.cms.reader import OCTET_STRING, SEQUENCE
from device_sdk.wire.cms.recipients import OpeningKey
from device_sdk.wire.cms.signatures import DIGESTS
from device_sdk.wire.firmware import oids
from device_sdk.wire.firmware.codes import LoadErrorCode, refused, refusing
from device_sdk.wire.firmware.layers import decrypted, inflated
from device_sdk.wire.firmware.octet_string import header_bytes
from device_sdk.wire.firmware.signers import element_of
from device_sdk.wire.firmware.verification import EXPLICIT_0, FirmwarePackage, source_of

MAX_IMAGE_BYTES = 1024 * 1024 * 1024
SHA256 = "2.16.840.1.101.3.4.2.1"


@dataclass(frozen=True)
class Unpacked:
    """What came out.

    Attributes:
        size: bytes of the firmware.
        sha256: of the firmware.
    """

    size: int
    sha256: bytes


def unpack_package(
    file: Spool,
    package: FirmwarePackage,
    write: Callable[[bytes], object],
    *,
    keys: Sequence[OpeningKey] = (),
    limit_bytes: int = MAX_IMAGE_BYTES,
) -> Unpacked:
    """Hand over the firmware. What was handed over counts only when this returns.

    What is read is hashed once more, so that a file which changed since it was verified is refused.

    Args:
        file: the same as for `verify_package`.
        package: what that found.
        write: takes each piece.
        keys: what may open the package if it is encrypted: the key of a token or TPM, or a SharedKey, either the one the
            package names or one that its key is wrapped with.
        limit_bytes: the largest firmware.

    Raises:
        FirmwareError: it cannot be opened or unpacked, is too large, or is not what the signer said.
        KeyStoreError: the token or TPM could not be used.
        DeviceSdkError: as `file` and `write` raise it.
    """
    run = _Run(file, package, keys, limit_bytes)
    return run.pour(write, run.wrapper_bytes())


class _Run:
    def __init__(self, file: Spool, package: FirmwarePackage, keys: Sequence[OpeningKey], limit_bytes: int) -> None:
        self._file, self._package, self._keys, self._limit = file, package, keys, limit_bytes

    def wrapper_bytes(self) -> int:
        """How much of the content comes before the firmware: the header of an OCTET STRING, or nothing (AMB-13).

        FirmwarePkgData is an OCTET STRING, which some encode once more inside the content. Only the signer's digest of the
        firmware can tell that from firmware that looks like one.
        """
        signed = self._package.attributes.digest if self._package.attributes else None
        if signed is None:
            return 0
        pieces = self._pieces()
        begin = b""
        while len(begin) < 6 and (piece := next(pieces, None)) is not None:
            begin += piece
        header = header_bytes(begin)
        if not header:
            return 0
        hasher, size = hashes.Hash(_hash(signed[0])), len(begin)
        hasher.update(begin[header:])
        for piece in pieces:
            hasher.update(piece)
            size += len(piece)
        return header if size == header_bytes(begin, whole=True) and hasher.finalize() == signed[1] else 0

    def pour(self, write: Callable[[bytes], object], skip: int) -> Unpacked:
        """Everything behind the first bytes."""
        attributes = self._package.attributes
        signed = attributes.digest if attributes else None
        own, theirs = hashes.Hash(hashes.SHA256()), None
        if signed is not None and signed[0] != SHA256:
            theirs = hashes.Hash(_hash(signed[0]))
        size = 0
        for piece in _without(self._pieces(), skip):
            own.update(piece)
            if theirs is not None:
                theirs.update(piece)
            size += len(piece)
            if size > self._limit:
                raise too_large(self._limit)
            write(piece)
        digest = own.finalize()
        if signed is not None and (theirs.finalize() if theirs else digest) != signed[1]:
            raise refused(LoadErrorCode.BAD_FIRMWARE, "the firmware is not what its signer made a digest of")
        return Unpacked(size, digest)

    def _pieces(self) -> Iterator[bytes]:
        with refusing(LoadErrorCode.DECODE_FAILURE, "it cannot be read"):
            source, padding = source_of(self._file, self._package.limit_bytes)
            info = Scope(source).enter(SEQUENCE)
            kind = element_of(info).oid()
            explicit = info.enter(EXPLICIT_0)
            if kind == SIGNED_DATA:
                yield from self._signed(explicit)
                return
            if kind != self._package.kind:
                raise _changed()
            yield from self._opened(kind, explicit)
            explicit.leave()
            info.leave()
            _require_end(source, padding)

    def _signed(self, explicit: Scope) -> Iterator[bytes]:
        data = explicit.enter(SEQUENCE)
        data.element()
        data.element()
        encap = data.enter(SEQUENCE)
        if element_of(encap).oid() != self._package.kind or encap.next_tag is None:
            raise _changed()
        hasher = hashes.Hash(DIGESTS[self._package.digest_oid]())
        content = encap.enter(EXPLICIT_0)
        pieces = _hashed(content.pieces(OCTET_STRING), hasher)
        if self._package.kind == oids.FIRMWARE_PACKAGE:
            yield from pieces
        else:
            inner = Source(pieces)
            yield from self._opened(self._package.kind, Scope(inner))
            _require_end(inner, b"")
        if hasher.finalize() != self._package.digest:
            raise _changed()

    def _opened(self, kind: str, content: Scope) -> Iterator[bytes]:
        """The firmware inside a content whose elements come now."""
        if kind == oids.FIRMWARE_PACKAGE:
            yield from content.pieces(OCTET_STRING)
        elif kind == oids.COMPRESSED_DATA:
            yield from inflated(content.enter(SEQUENCE), self._limit)
        else:
            data = content.enter(SEQUENCE)
            inner, pieces = decrypted(data, self._package, self._keys)
            if inner == oids.COMPRESSED_DATA:
                plain = Source(pieces)
                yield from inflated(Scope(plain).enter(SEQUENCE), self._limit)
                _require_end(plain, b"")
            else:
                yield from pieces


def too_large(limit_bytes: int) -> Exception:
    """The refusal of firmware that would not end."""
    return refused(LoadErrorCode.INSUFFICIENT_MEMORY, f"the firmware is larger than {limit_bytes} bytes")


def _hashed(pieces: Iterator[bytes], hasher: hashes.Hash) -> Iterator[bytes]:
    for piece in pieces:
        hasher.update(piece)
        yield piece


def _without(pieces: Iterator[bytes], skip: int) -> Iterator[bytes]:
    while skip and (piece := next(pieces, None)) is not None:
        if len(piece) > skip:
            return chain((piece[skip:],), pieces)
        skip -= len(piece)
    return pieces


def _require_end(source: Source, padding: bytes) -> None:
    if any(rest.strip(padding) if padding else rest for rest in source.rest()):
        raise ValueError("something behind the content")


def _hash(oid: str) -> hashes.HashAlgorithm:
    if oid not in DIGESTS:
        raise refused(LoadErrorCode.BAD_DIGEST_ALGORITHM, f"a digest of the firmware by hash {oid} is not accepted")
    return DIGESTS[oid]()


def _changed() -> Exception:
    return refused(LoadErrorCode.SIGNATURE_FAILURE, "the package changed while it was read")
