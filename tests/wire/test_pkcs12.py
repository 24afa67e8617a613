"""PKCS#12 files: openssl and cryptography make what we read, and read what the reference server makes (B-05, RFC 9579)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc7292

from device_sdk.errors import ConfigurationError, Pkcs12PasswordError, WireError
from device_sdk.model.pkcs12 import Pkcs12Policy
from device_sdk.model.secret import Secret
from device_sdk.wire.pkcs12 import read_pkcs12
from tests.est.pki import Ca, new_key
from tests.wire.pfx_making import PASSWORD, by_openssl, changed, joined, usual

ROOT = Ca.root("Root of files")
KEY, OTHER = new_key(), new_key()
CERTIFICATE = ROOT.certify("device 1", KEY.public_key())


def policy(password: str = PASSWORD, **options) -> Pkcs12Policy:
    return Pkcs12Policy(Secret(password), **options)


def require_good(encoded: bytes, **options) -> None:
    found = read_pkcs12(encoded, policy(**options))
    assert found.key.public_key() == KEY.public_key()
    assert set(found.certificates) == {CERTIFICATE, ROOT.certificate}


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-macalg", "sha384", "-keypbe", "AES-128-CBC", "-certpbe", "AES-192-CBC"),
        ("-macalg", "sha512", "-certpbe", "NONE", "-iter", "1"),
        ("-maciter", "-name", "a friendly name"),
    ],
)
def test_b_05_what_openssl_makes(options, tmp_path):
    require_good(by_openssl(tmp_path, KEY, [CERTIFICATE, ROOT.certificate], *options))


def test_b_05_older_algorithms_only_where_they_are_allowed(tmp_path):
    """SHA-1 and 3DES by opting in; RC2 never."""
    chain = [CERTIFICATE, ROOT.certificate]
    for options in (
        ("-macalg", "sha1"),
        ("-keypbe", "PBE-SHA1-3DES"),
        ("-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1"),
    ):
        made = by_openssl(tmp_path, KEY, chain, *options)
        with pytest.raises(WireError, match="not taken"):
            read_pkcs12(made, policy())
        require_good(made, allow_legacy=True)
    made = by_openssl(tmp_path, KEY, chain, "-legacy")
    for allowed in (False, True):
        with pytest.raises(WireError, match="not taken"):
            read_pkcs12(made, policy(allow_legacy=allowed))


@pytest.mark.parametrize("mac", ["hmac-sha256", "pbmac1"])
def test_b_02_rfc_9579_what_the_reference_server_makes(mac, tmp_path):
    """cryptography (an OpenSSL that knows PBMAC1) and pyasn1 judge; openssl of the system where it knows the MAC."""
    made = usual(KEY, CERTIFICATE, ROOT.certificate, mac=mac)
    require_good(made)
    judged = load_pkcs12(made, PASSWORD.encode())
    assert judged.key.public_key() == KEY.public_key()
    assert judged.cert.certificate == CERTIFICATE
    file, rest = decode(made, asn1Spec=rfc7292.PFX())
    assert (rest, encode(file)) == (b"", made)
    if mac == "hmac-sha256":
        (tmp_path / "p12").write_bytes(made)
        (tmp_path / "password").write_text(PASSWORD)
        words = [
            "openssl",
            "pkcs12",
            "-in",
            tmp_path / "p12",
            "-passin",
            f"file:{tmp_path}/password",
            "-nodes",
            "-info",
        ]
        shown = subprocess.run(words, capture_output=True, check=True, timeout=60)
        assert b"BEGIN PRIVATE KEY" in shown.stdout
        assert b"PBES2, PBKDF2, AES-256-CBC" in shown.stderr


SAMPLE = (Path(__file__).parents[1] / "vectors" / "pkcs12" / "rfc9579-a1.p12").read_bytes()
MAC_PARAMETERS = b"\x02\x02\x08\x00\x02\x01\x20"


def test_b_05_the_sample_of_rfc_9579():
    """Appendix A.1; with another iteration count, another salt or a short key, as in A.4 to A.6, it is refused."""
    found = read_pkcs12(SAMPLE, policy("1234"))
    assert found.key.public_key() == found.certificates[0].public_key()
    assert SAMPLE.count(MAC_PARAMETERS) == 1
    salt = SAMPLE.index(MAC_PARAMETERS) - 1
    for altered, error, says in (
        (SAMPLE.replace(MAC_PARAMETERS, b"\x02\x02\x08\x01\x02\x01\x20"), Pkcs12PasswordError, "was altered"),
        (SAMPLE[:salt] + b"!" + SAMPLE[salt + 1 :], Pkcs12PasswordError, "was altered"),
        (SAMPLE.replace(MAC_PARAMETERS, b"\x02\x02\x08\x00\x02\x01\x13"), WireError, "length of the key"),
    ):
        with pytest.raises(error, match=says):
            read_pkcs12(altered, policy("1234"))


def test_b_05_another_password_or_an_altered_file(tmp_path):
    """One error for both, without a cause that says more; the file is not tried again in another way."""
    made = usual(KEY, CERTIFICATE)
    altered = bytearray(made)
    altered[len(made) // 2] ^= 1
    for encoded, password in ((made, "password"), (made, PASSWORD.upper()), (bytes(altered), PASSWORD)):
        with pytest.raises(Pkcs12PasswordError, match="another password, or was altered") as caught:
            read_pkcs12(encoded, policy(password))
        assert caught.value.__cause__ is None
        assert PASSWORD not in repr(vars(caught.value))


def without_mac(made: bytes) -> bytes:
    file = decode(made, asn1Spec=rfc7292.PFX())[0]
    bare = rfc7292.PFX()
    bare["version"], bare["authSafe"] = 3, file["authSafe"]
    return bytes(encode(bare))


def mac_iterations(made: bytes, iterations: int) -> bytes:
    file = decode(made, asn1Spec=rfc7292.PFX())[0]
    file["macData"]["iterations"] = iterations
    return bytes(encode(file))


def key_iterations(made: bytes) -> bytes:
    """A good MAC around a key that would take hours; both lengths stay what they are."""
    few, many = b"\x02\x02\x03\xe8", b"\x02\x04\x7f\xff\xff\xff"
    blob = bytes.fromhex("06092a864886f70d01050c")  # PBKDF2

    def grow(safes):
        for position, safe in enumerate(safes):
            inside = bytes(safe["content"])
            assert blob in inside
            if safe["contentType"] == rfc7292.ContentInfo()["contentType"].clone("1.2.840.113549.1.7.1"):
                safes[position]["content"] = _with_integer(inside, few, many)

    return changed(made, grow)


def _with_integer(inside: bytes, few: bytes, many: bytes) -> bytes:
    """The integer replaced, and every length around it."""
    from pyasn1.type import univ
    from pyasn1_alt_modules import rfc5958, rfc8018

    bags = decode(bytes(decode(inside)[0]), asn1Spec=rfc7292.SafeContents())[0]
    shrouded = decode(bytes(bags[0]["bagValue"]), asn1Spec=rfc5958.EncryptedPrivateKeyInfo())[0]
    scheme = decode(bytes(shrouded["encryptionAlgorithm"]["parameters"]), asn1Spec=rfc8018.PBES2_params())[0]
    derivation = decode(bytes(scheme["keyDerivationFunc"]["parameters"]), asn1Spec=rfc8018.PBKDF2_params())[0]
    derivation["iterationCount"] = int.from_bytes(many[2:], "big")
    scheme["keyDerivationFunc"]["parameters"] = encode(derivation)
    shrouded["encryptionAlgorithm"]["parameters"] = encode(scheme)
    bags[0]["bagValue"] = encode(shrouded)
    return bytes(encode(univ.OctetString(encode(bags))))


REFUSED = {
    "no MAC": (lambda _: without_mac(usual(KEY, CERTIFICATE)), "it has no MAC"),
    "iterations of the MAC": (lambda _: mac_iterations(usual(KEY, CERTIFICATE), 2**31 - 1), "2147483647 iterations"),
    "iterations of PBMAC1": (
        lambda _: usual(KEY, CERTIFICATE, mac="pbmac1").replace(
            b"\x02\x02\x03\xe8\x02\x01\x20", b"\x02\x02\x7f\xff\x02\x01\x20"
        ),
        "32767 iterations",
    ),
    "iterations of the key": (lambda _: key_iterations(usual(KEY, CERTIFICATE)), "2147483647 iterations"),
    "no iterations": (lambda _: mac_iterations(usual(KEY, CERTIFICATE), 0), "no iterations"),
    "two keys": (lambda _: joined(usual(KEY, CERTIFICATE), usual(OTHER, CERTIFICATE)), "several private keys"),
    "no key": (lambda d: by_openssl(d, KEY, [CERTIFICATE], "-nokeys"), "0 private keys"),
    "a key in the clear": (lambda d: by_openssl(d, KEY, [CERTIFICATE], "-keypbe", "NONE"), "not encrypted"),
    "PBMAC1 without a key length": (
        lambda _: changed(usual(KEY, CERTIFICATE), lambda safes: None, key_bytes=None),
        "length of the key",
    ),
    "another version": (lambda _: usual(KEY, CERTIFICATE).replace(b"\x02\x01\x03", b"\x02\x01\x04", 1), "version"),
    "no file": (lambda _: b"\x30\x03\x02\x01\x03", "another element"),
    "bytes behind": (lambda _: usual(KEY, CERTIFICATE) + b"\0", "more than one element"),
    "too large": (lambda _: b"\x30\x84\x00\x10\x00\x00" + bytes(1 << 20), "more than 262144 bytes"),
}


@pytest.mark.parametrize(("wrong", "says"), REFUSED.values(), ids=REFUSED)
def test_b_05_section_17_7_what_is_refused(wrong, says, tmp_path):
    """Bounds are looked at before a key is derived: the largest numbers here would take hours."""
    limit = {"max_iterations": 20_000} if "32767" in says else {}
    with pytest.raises(WireError, match=says) as caught:
        read_pkcs12(wrong(tmp_path), policy(**limit))
    assert not isinstance(caught.value, Pkcs12PasswordError)
    assert caught.value.__cause__ is None


def test_what_all_derivations_may_cost_together():
    """Four of the longest, and no fifth: each of many bags could be as dear as it may be."""
    one = usual(KEY, CERTIFICATE, mac="pbmac1")
    many = one
    for _ in range(3):
        many = changed(many, lambda safes: [safes.append(safe) for safe in list(safes)[:1]] and None)
    with pytest.raises(WireError, match="1000 iterations to derive a key, of 1000"):
        read_pkcs12(many, policy(max_iterations=1000))


@pytest.mark.parametrize("password", [b"", b"\xff", b"a\0b"])
def test_passwords_that_are_none(password):
    with pytest.raises(ConfigurationError, match="UTF-8"):
        Pkcs12Policy(Secret(password))
