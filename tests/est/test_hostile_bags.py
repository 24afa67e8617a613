"""What a server can make a client compute: /cacerts answers built to be expensive. Seconds are those of the processor."""

from __future__ import annotations

import contextlib
import itertools
import random
from functools import cache

import pytest
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from device_sdk.errors import DeviceSdkError, VerificationError
from device_sdk.protocols.est.ca_certificates import check_ca_certificates, usable_roots
from device_sdk.protocols.est.pinning import pinned_anchors
from device_sdk.wire.fingerprint import parse_pin
from device_sdk.wire.path import ca_problem, find_path, is_self_signed
from device_sdk.wire.relations import Relations
from tests.est.pki import CA_USAGE, DAY, NOW, Ca, Rollover, make, name, new_key
from tests.processor import require_at_most

LIMIT_S = 2.5  # about 1 s where nothing else runs
SIGNER = rsa.generate_private_key(65537, 2048)
CHANCE = random.Random(7)  # noqa: S311  # numbers, not keys


def rsa_certificate(bits: int, exponent: int, subject: x509.Name) -> x509.Certificate:
    """A CA certificate with a modulus nobody can sign with, and a signature of the length that fits it."""
    modulus = CHANCE.getrandbits(bits) | 1 << (bits - 1) | 1
    builder = x509.CertificateBuilder(subject, subject, rsa.RSAPublicNumbers(exponent, modulus).public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(NOW - DAY).not_valid_after(NOW + DAY)
    builder = builder.add_extension(x509.BasicConstraints(True, None), True).add_extension(CA_USAGE, True)
    parsed = asn1.Certificate.load(builder.sign(SIGNER, hashes.SHA256()).public_bytes(Encoding.DER))
    parsed["signature_value"] = bytes(1) + CHANCE.randbytes(bits // 8 - 1)
    return x509.load_der_x509_certificate(parsed.dump())


def rsa_bag(bits: int, exponent: int, subject: x509.Name) -> list[x509.Certificate]:
    return [rsa_certificate(bits, exponent, subject) for _ in range(99)]


def mesh(curve: ec.EllipticCurve) -> list[x509.Certificate]:
    """A few CAs of one name that all certify each other."""
    keys = [ec.generate_private_key(curve) for _ in range(10)]
    return [make(name("CA"), one.public_key(), name("CA"), other, ca=True) for one in keys for other in keys][:99]


def long_name() -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, f"{i}") for i in range(300)])


def chain_of_rollovers(length: int = 50) -> list[x509.Certificate]:
    """Roots, each of which vouches for the next, in the order that suits the client least."""
    keys = [new_key() for _ in range(length)]
    pairs = list(itertools.pairwise(keys))
    links = [make(name("CA"), new.public_key(), name("CA"), old, ca=True) for old, new in pairs]
    return [*(Ca.root("CA", key=key).certificate for key in reversed(keys)), *reversed(links)]


def one_key_many_times() -> list[x509.Certificate]:
    key, other = new_key(), new_key()
    roots = [Ca.root("CA", key=key).certificate for _ in range(50)]
    return roots + [make(name("CA"), key.public_key(), name("CA"), other, ca=True) for _ in range(49)]


BAGS = {
    "RSA 16384, exponent of 64 bits": cache(lambda: rsa_bag(16384, 2**64 - 59, name("CA"))),
    "RSA 16384": cache(lambda: rsa_bag(16384, 65537, name("CA"))),
    "RSA 8192, exponent of 32 bits": cache(lambda: rsa_bag(8192, 2**32 - 5, name("CA"))),
    "RSA 4096": cache(lambda: rsa_bag(4096, 65537, name("CA"))),
    "RSA 2048, long names": cache(lambda: rsa_bag(2048, 65537, long_name())),
    "mesh P-256": cache(lambda: mesh(ec.SECP256R1())),
    "mesh P-521": cache(lambda: mesh(ec.SECP521R1())),
    "rollovers": cache(chain_of_rollovers),
    "one key": cache(one_key_many_times),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", BAGS)
@pytest.mark.parametrize("trust", ["explicit", "same name", "implicit", "pin"])
def test_every_input_is_bounded(kind: str, trust: str) -> None:
    bag = BAGS[kind]()
    anchors = {"explicit": [Ca.root("Root").certificate], "same name": [bag[-1]]}.get(trust, [])
    leaf = make(name("device"), new_key().public_key(), bag[0].subject, new_key())

    def read() -> None:
        with contextlib.suppress(DeviceSdkError):
            if trust == "pin":
                pinned_anchors(bag, [parse_pin("sha256:" + "ab" * 32)])
                usable_roots(bag, NOW)
            else:
                check_ca_certificates(bag, anchors, NOW)
                find_path(leaf, intermediates=bag, anchors=anchors, now=NOW)

    require_at_most(LIMIT_S, read)


def test_a_chain_of_rollovers_is_followed_to_its_end() -> None:
    bag = chain_of_rollovers(12)
    first = bag[11]
    assert len(check_ca_certificates(bag, [first], NOW).anchors) == 12


@pytest.mark.parametrize(("bits", "exponent"), [(8200, 65537), (2048, 2**32 + 15)])
def test_keys_that_cost_too_much_are_no_ca_keys(bits: int, exponent: int) -> None:
    certificate = rsa_certificate(bits, exponent, name("CA"))
    assert "RSA key" in str(ca_problem(certificate))
    leaf = make(name("device"), new_key().public_key(), name("CA"), new_key())
    with pytest.raises(VerificationError, match="RSA key"):
        find_path(leaf, intermediates=[], anchors=[certificate], now=NOW)


@pytest.mark.slow
def test_keys_of_other_kinds_are_no_ca_keys() -> None:
    key = make(
        name("CA"), dsa.generate_parameters(2048).generate_private_key().public_key(), name("CA"), new_key(), ca=True
    )
    assert "kind" in str(ca_problem(key))


@pytest.mark.slow
def test_large_keys_that_are_bearable_are_used() -> None:
    key = rsa.generate_private_key(65537, 4096)
    assert ca_problem(Ca.root("CA", key=key).certificate) is None
    assert is_self_signed(Ca.root("CA", key=key).certificate)


def test_what_is_beyond_the_budget_is_not_trusted() -> None:
    rollover = Rollover()
    relations = Relations(signatures=1)
    assert is_self_signed(rollover.old.certificate, relations)
    assert is_self_signed(rollover.old.certificate, relations), "a result that is known costs nothing"
    assert not relations.exhausted
    assert not is_self_signed(rollover.new.certificate, relations)
    assert relations.exhausted


def test_the_error_says_that_the_budget_was_spent() -> None:
    root = Ca.root()
    leaf = root.certify("device", new_key().public_key())
    for spent in (Relations(signatures=0), Relations(steps=0)):
        with pytest.raises(VerificationError, match="too many certificates of the same name"):
            find_path(leaf, intermediates=[], anchors=[root.certificate], now=NOW, relations=spent)
