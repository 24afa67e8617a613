"""Other people's readers of what this SDK reads and writes: openssl and pyasn1-alt-modules."""

from __future__ import annotations

import random
import subprocess
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.utils import CryptographyDeprecationWarning
from pyasn1.codec.ber import decoder as ber_decoder
from pyasn1.codec.der import decoder
from pyasn1_alt_modules import rfc2986, rfc5280, rfc5652, rfc8951

from device_sdk.errors import WireError

VECTORS = Path(__file__).parents[1] / "vectors" / "est"


def openssl(*arguments: str, data: bytes) -> str:
    """Run openssl on DER given on its standard input; it must succeed."""
    done = subprocess.run(["openssl", *arguments], input=data, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return (done.stdout + done.stderr).decode()


def certificates_by_pyasn1(der: bytes) -> list[bytes]:
    """The certificates of a ContentInfo, in order, as pyasn1-alt-modules sees them; re-encoded."""
    from pyasn1.codec.der import encoder

    info, rest = ber_decoder.decode(der, asn1Spec=rfc5652.ContentInfo())
    assert not rest
    signed, _ = ber_decoder.decode(info["content"], asn1Spec=rfc5652.SignedData())
    return [encoder.encode(choice["certificate"]) for choice in signed["certificates"]]


def csrattrs_by_pyasn1(der: bytes) -> list[tuple[str, list[bytes] | None]]:
    """Each entry of a CsrAttrs: its OID, and the DER of its values (None for a bare OID)."""
    attributes, rest = decoder.decode(der, asn1Spec=rfc8951.CsrAttrs())
    assert not rest
    found: list[tuple[str, list[bytes] | None]] = []
    for entry in attributes:
        if entry.getName() == "oid":
            found.append((str(entry["oid"]), None))
        else:
            attribute = entry["attribute"]
            found.append((str(attribute["attrType"]), [bytes(value) for value in attribute["attrValues"]]))
    return found


def csr_by_pyasn1(der: bytes) -> tuple[dict[str, bytes], dict[str, tuple[bool, bytes]]]:
    """Attributes of a CSR by OID (one value each), and its requested extensions by OID: (critical, value)."""
    request, rest = decoder.decode(der, asn1Spec=rfc2986.CertificationRequest())
    assert not rest
    attributes: dict[str, bytes] = {}
    for attribute in request["certificationRequestInfo"]["attributes"]:
        assert str(attribute["type"]) not in attributes
        assert len(attribute["values"]) == 1
        attributes[str(attribute["type"])] = bytes(attribute["values"][0])
    extensions: dict[str, tuple[bool, bytes]] = {}
    if "1.2.840.113549.1.9.14" in attributes:
        listed, _ = decoder.decode(attributes["1.2.840.113549.1.9.14"], asn1Spec=rfc5280.Extensions())
        for extension in listed:
            assert str(extension["extnID"]) not in extensions
            extensions[str(extension["extnID"])] = (bool(extension["critical"]), bytes(extension["extnValue"]))
    return attributes, extensions


def damaged(good: bytes, *, flips: int = 300) -> Iterator[bytes]:
    """Every prefix, and the same number of single-bit flips every time."""
    yield from (good[:size] for size in range(len(good)))
    chance = random.Random(20261120)  # noqa: S311  # a fixed seed is the point
    for _ in range(flips):
        bit = chance.randrange(len(good) * 8)
        changed = bytearray(good)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


def only_wire_errors(read: Callable[[bytes], object], data: bytes) -> None:
    """Bad bytes may be read or refused, but nothing except WireError comes out.

    cryptography warns of serial numbers that are not positive; RFC 5280 section 4.1.2.2 wants them handled gracefully.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            read(data)
    except WireError:
        pass
    except Exception as error:  # noqa: BLE001  # whatever comes out is the failure
        pytest.fail(f"{type(error).__name__} for {data.hex()[:200]}: {error}")
