"""What is refused before asn1crypto converts it: EST-110, bounded input in bounded time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from device_sdk.errors import DeviceSdkError, WireError
from device_sdk.keystores.pkcs8 import load_pkcs8
from device_sdk.model.secret import Secret
from device_sdk.wire import der
from device_sdk.wire.certs_only import parse_certs_only
from device_sdk.wire.cms.signed_data import read_signed_data
from device_sdk.wire.csrattrs import CsrAttributes
from device_sdk.wire.key_packages.asymmetric import read_asymmetric_key_package
from device_sdk.wire.modest import MAX_ELEMENTS, MAX_NUMBER_BYTES, MAX_OID_BYTES, require_modest
from device_sdk.wire.private_key import read_private_key
from device_sdk.wire.tss2_key import Tss2Key
from tests.processor import require_at_most

SIGNED_DATA = der.oid("1.2.840.113549.1.7.2")
DATA = der.sequence(der.oid("1.2.840.113549.1.7.1"))


def huge(tag: int, size: int) -> bytes:
    return der.tlv(tag, b"\x81" * (size - 1) + b"\x01")


def signed(digests: bytes = b"\x31\x00", content: bytes = DATA, certificates: bytes = b"") -> bytes:
    bag = der.tlv(0xA0, certificates) if certificates else b""
    body = der.sequence(b"\x02\x01\x01", digests, content, bag, b"\x31\x00")
    return der.sequence(SIGNED_DATA, der.tlv(0xA0, body))


def loose(*parts: bytes) -> bytes:
    """A SEQUENCE of indefinite length, the form that a reader has to write anew."""
    return b"\x30\x80" + b"".join(parts) + b"\0\0"


def costly(size: int) -> dict[str, bytes]:
    """Structures with one value of that many bytes, wherever somebody may look at it."""
    oid = huge(0x06, size)
    algorithm = der.sequence(oid)
    san = der.tlv(0x04, der.sequence(huge(0x88, size)))
    extensions = der.tlv(0xA3, der.sequence(der.sequence(der.oid("2.5.29.17"), san)))
    name = der.sequence(der.tlv(0x31, der.sequence(oid, b"\x0c\x01x")))
    times = der.sequence(b"\x17\x0d260101000000Z", b"\x17\x0d270101000000Z")
    inside = der.sequence(
        b"\x02\x01\x01", algorithm, name, times, name, der.sequence(algorithm, b"\x03\x01\0"), extensions
    )
    return {
        "content type": der.sequence(oid),
        "inner content type": signed(content=der.sequence(oid)),
        "digest algorithm": signed(digests=der.tlv(0x31, algorithm)),
        "a number": der.sequence(huge(0x02, size)),
        "version": der.sequence(SIGNED_DATA, der.tlv(0xA0, der.sequence(huge(0x02, size)))),
        "certificate": signed(certificates=loose(inside, algorithm, b"\x03\x01\0")),
        "extension of a certificate": signed(certificates=loose(der.sequence(extensions), DATA, b"\x03\x01\0")),
        "hidden behind a child that is longer than its parent": signed(
            digests=b"\x31\x02\x04\x7f" + b"", content=der.sequence(oid)
        ),
    }


READERS: dict[str, Callable[[bytes], object]] = {
    "certs-only": parse_certs_only,
    "csrattrs": CsrAttributes.from_bytes,
    "cms": read_signed_data,
    "private key": read_private_key,
    "key package": read_asymmetric_key_package,
    "pkcs8": lambda data: load_pkcs8(Secret(data), "file:x"),
    "tss2": Tss2Key.parse,
}
CASES = costly(2)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("case", CASES)
def test_a_mebibyte_in_one_value_costs_nothing(reader: str, case: str) -> None:
    """Quadratic conversion of it would take minutes, beyond every timeout, before any trust exists."""
    for size in (15_000, 60_000, 700_000):
        data = costly(size)[case]

        def read(value: bytes = data) -> None:
            with pytest.raises(DeviceSdkError):
                READERS[reader](value)

        require_at_most(0.3, read)


@pytest.mark.parametrize(
    ("tag", "limit"), [(0x06, MAX_OID_BYTES), (0x0D, MAX_OID_BYTES), (0x02, MAX_NUMBER_BYTES), (0x0A, MAX_NUMBER_BYTES)]
)
@pytest.mark.parametrize("wrap", [der.sequence, loose, lambda inner: loose(der.tlv(0xA0, loose(inner)))])
def test_the_limits_are_exact(tag: int, limit: int, wrap: Callable[[bytes], bytes]) -> None:
    require_modest(wrap(huge(tag, limit)), "it")
    with pytest.raises(WireError, match=f"{limit + 1} bytes, the limit is {limit}"):
        require_modest(wrap(huge(tag, limit + 1)), "it")


@pytest.mark.parametrize(
    "data",
    [
        b"\x30",
        b"\x30\x02\x04\x01",
        b"\x30\x02\x04\x01\x00",
        b"\x04\x80\x00\x00",
        b"\x30\x80",
        b"\x30\x80\x00",
        b"\x30\x04\x30\x80\x05\x00\x00\x00",
        b"\x1f\x81\x01\x00",
        b"\x04\x85\x00\x00\x00\x00\x00",
        b"\x04\x82\x01",
        b"\x30\x80" * 65,
        b"\x05\x00" * (MAX_ELEMENTS + 1),
    ],
    ids=range(12),
)
def test_what_is_not_well_formed_or_too_much_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        require_modest(data, "it")
