"""Which algorithms a signature may have."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import padding
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc4055, rfc5280

from device_sdk.errors import VerificationError
from device_sdk.wire.cms.reader import Reader
from device_sdk.wire.cms.signatures import read_scheme
from device_sdk.wire.cms.signed_data import read_signed_data
from tests.cms.parties import Party
from tests.cms.test_signed_data import CONTENT, KEYS, PSS, check, handmade, sign


@pytest.mark.parametrize(
    ("digest_oid", "scheme_oid"),
    [
        ("1.3.14.3.2.26", "1.2.840.10045.4.1"),
        ("2.16.840.1.101.3.4.2.1", "1.2.840.10045.4.1"),
        ("1.3.14.3.2.26", "1.2.840.10045.4.3.2"),
        ("2.16.840.1.101.3.4.2.2", "1.2.840.10045.4.3.2"),
        ("2.16.840.1.101.3.4.2.1", "1.2.840.113549.1.1.11"),
    ],
    ids=["sha1", "ecdsa-with-sha1", "sha1 digest", "two hashes", "rsa"],
)
def test_algorithms_that_are_not_accepted(
    digest_oid: str, scheme_oid: str, party: Callable[..., Party], root: Party
) -> None:
    with pytest.raises(VerificationError):
        check(handmade(party("signer", issuer=root), digest_oid=digest_oid, scheme_oid=scheme_oid), root)


def test_sha1_by_openssl_is_refused(party: Callable[..., Party], root: Party) -> None:
    with pytest.raises(VerificationError, match="not accepted"):
        check(sign(party("signer", KEYS["rsa-2048"](), root), digest="sha1"), root)


def test_pss_with_its_defaults_is_refused(party: Callable[..., Party], root: Party) -> None:
    """RFC 4055 section 3.1: what is not named is SHA-1."""
    signer = party("signer", KEYS["rsa-2048"](), root)
    with pytest.raises(VerificationError, match="not accepted"):
        check(sign(signer, *PSS, "-keyopt", "rsa_mgf1_md:sha1"), root)
    assert check(sign(signer, *PSS, "-keyopt", "rsa_mgf1_md:sha512", "-keyopt", "rsa_pss_saltlen:0"), root) == CONTENT


@pytest.mark.parametrize("named", [False, True])
def test_pss_parameters_have_to_name_their_hash(named: bool) -> None:
    """RFC 4055 section 3.1: absent is SHA-1, whatever the signer's digest algorithm says."""
    sha256 = "2.16.840.1.101.3.4.2.1"
    parameters = rfc4055.RSASSA_PSS_params()
    if named:
        parameters["hashAlgorithm"]["algorithm"] = sha256
    digest = rfc5280.AlgorithmIdentifier()
    digest["algorithm"] = sha256
    parameters["maskGenAlgorithm"]["algorithm"] = rfc4055.id_mgf1
    parameters["maskGenAlgorithm"]["parameters"] = encode(digest)
    algorithm = rfc5280.AlgorithmIdentifier()
    algorithm["algorithm"] = rfc4055.id_RSASSA_PSS
    algorithm["parameters"] = encode(parameters)
    assert (read_scheme(Reader(encode(algorithm)).enter(), sha256) is not None) == named


def test_pkcs1_and_pss_are_told_apart(party: Callable[..., Party], root: Party) -> None:
    signer = party("signer", KEYS["rsa-2048"](), root)
    message = sign(signer)
    info = read_signed_data(message).signers[0]
    assert isinstance(info.scheme.padding, padding.PKCS1v15)
    assert isinstance(read_signed_data(sign(signer, *PSS)).signers[0].scheme.padding, padding.PSS)
