"""Names of the next key, and when it is wanted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from device_sdk.client.device.clock import check_clock, check_not_before
from device_sdk.client.device.decision import decide
from device_sdk.client.device.generation import absolute, next_key_uri
from device_sdk.client.device.plan import EnrolmentPlan
from device_sdk.client.device.request import choose_key_type
from device_sdk.errors import ClockError, ConfigurationError, CsrAttributesError
from device_sdk.model.csr import CsrSpec
from device_sdk.model.keys import KeyType
from device_sdk.model.trust import Pin
from device_sdk.state import Journal, Operation, Phase
from device_sdk.wire.csrattrs import CsrAttributes
from device_sdk.wire.csrattrs_key import KeyWish

START = datetime(2026, 1, 1, tzinfo=UTC)
MODULE = "?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/run/pin"


@pytest.mark.parametrize(
    ("base", "current", "expected"),
    [
        ("file:/k/device.pem", "file:/k/device.pem", "file:/k/device-2.pem"),
        ("file:/k/device.pem", "file:/k/device-2.pem", "file:/k/device-3.pem"),
        ("file:/k/device.pem", "file:/k/device-99.pem", "file:/k/device-100.pem"),
        ("file:/k/device-7.pem", "file:/k/device-7.pem", "file:/k/device-7-2.pem"),
        ("file:/k/device.pem", "file:/elsewhere/other.pem", "file:/k/device-2.pem"),
        ("file:/k/device?pin-source=file:/run/p", "file:/k/device", "file:/k/device-2?pin-source=file:/run/p"),
        ("tpm2:file=/k/d.pem?tcti=swtpm:path=/t", "tpm2:file=/k/d-2.pem", "tpm2:file=/k/d-3.pem?tcti=swtpm:path=/t"),
        ("tpm2:handle=0x81000010", "tpm2:handle=0x81000010", "tpm2:handle=0x81000011"),
        ("tpm2:handle=0x81000010", "tpm2:handle=0x81000011", "tpm2:handle=0x81000010"),
        (f"pkcs11:token=t;object=dev{MODULE}", f"pkcs11:token=t;object=dev{MODULE}", f"pkcs11:token=t;object=dev-2{MODULE}"),
        (f"pkcs11:token=t;object=d;id=%01{MODULE}", f"pkcs11:token=t;object=d-4{MODULE}", f"pkcs11:token=t;object=d-5{MODULE}"),
    ],
)  # fmt: skip
def test_the_next_key_is_named_after_the_first(base: str, current: str, expected: str) -> None:
    """EST-157: every rekey makes a key of its own name beside the old one."""
    assert str(next_key_uri(base, current, (), lambda _: False)) == expected


def test_names_that_are_taken_or_reserved_are_passed_over() -> None:
    taken = {"file:/k/d-2.pem", "file:/k/d-3.pem"}
    found = next_key_uri("file:/k/d.pem", "file:/k/d.pem", ("file:/k/d-4.pem",), lambda uri: str(uri) in taken)
    assert str(found) == "file:/k/d-5.pem"


@pytest.mark.parametrize("uri", ["pkcs11:token=t;id=%01", "tpm2:", "file:/k/d.pem"])
def test_no_free_name_is_an_error_with_advice(uri: str) -> None:
    with pytest.raises(ConfigurationError, match="name the new key yourself"):
        next_key_uri(uri, uri, (), lambda _: True)


@pytest.mark.parametrize("uri", ["file:k.pem", "tpm2:file=k.pem"])
def test_key_uris_are_kept_independent_of_the_working_directory(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert f"{Path.cwd()}/k.pem" in str(absolute(uri))


def test_a_plan_says_whom_to_trust() -> None:
    """EST-54: nobody is trusted whom the owner did not name, in one way and not in two."""
    spec = CsrSpec(x509.Name([]))
    for pins, implicit in (((), False), ((Pin("sha256", bytes(32)),), True)):
        with pytest.raises(ConfigurationError, match="whom to trust"):
            EnrolmentPlan("https://est.example", "file:/k", spec, pins=pins, implicit=implicit)
    assert "bytes" not in repr(EnrolmentPlan("https://est.example", "file:/k", spec, implicit=True))


def certificate(begin: datetime = START, days: int = 90) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder(x509.Name([]), x509.Name([]), key.public_key(), 1)
    return builder.not_valid_before(begin).not_valid_after(begin + timedelta(days=days)).sign(key, hashes.SHA256())


def under_way(operation: Operation) -> Journal:
    return Journal(operation, Phase.REQUEST, "file:/k-2", "file:/k", True, "https://est.example", None, START)


@pytest.mark.parametrize(
    ("days", "threshold", "needed", "reason"),
    [
        (59.9, 2 / 3, False, "renewal is due on 2026-03-02"),
        (60, 2 / 3, True, "renewal was due on 2026-03-02"),
        (80.9, 0.9, False, "due on 2026-03-23"),
        (81, 0.9, True, "was due"),
        (89.9, 1, False, "due on 2026-04-01"),
        (90.1, 1, True, "expired on 2026-04-01"),
    ],
)
def test_renewal_is_due_after_two_thirds_of_the_lifetime(
    days: float, threshold: float, needed: bool, reason: str
) -> None:
    decision = decide([certificate()], None, START + timedelta(days=days), threshold)
    assert decision.needed is needed
    assert reason in decision.reason
    assert decision.not_after == START + timedelta(days=90)
    assert decision.to_json()["needed"] is needed


def test_an_intermediate_that_ends_earlier_makes_renewal_due_earlier() -> None:
    chain = [certificate(), certificate(START - timedelta(days=300), 330)]
    assert decide(chain, None, START + timedelta(days=19), 2 / 3).needed is False
    assert decide(chain, None, START + timedelta(days=21), 2 / 3).needed is True


def test_an_interrupted_renewal_is_to_be_finished() -> None:
    assert decide([certificate()], under_way(Operation.RENEW), START, 2 / 3).needed
    assert not decide([certificate()], under_way(Operation.ENROLL), START, 2 / 3).needed


@pytest.mark.parametrize("threshold", [0, -1, 1.01, float("nan")])
def test_thresholds_are_shares(threshold: float) -> None:
    with pytest.raises(ConfigurationError):
        decide([certificate()], None, START, threshold)


@pytest.mark.parametrize(
    "check",
    [
        lambda now: check_clock(now, START),
        lambda now: check_clock(now, None, [certificate(), certificate(START + timedelta(days=5))]),
        lambda now: check_not_before(now, certificate()),
    ],
)
def test_a_clock_in_the_past_is_refused_with_both_times(check: Callable[[datetime], None]) -> None:
    check(START - timedelta(minutes=4))
    with pytest.raises(ClockError) as caught:
        check(datetime(1970, 1, 1, tzinfo=UTC))
    assert caught.value.facts()["now"] == "1970-01-01T00:00:00Z"
    assert caught.value.facts()["not_before"] == "2026-01-01T00:00:00Z"
    assert "set the clock" in str(caught.value)
    check_clock(START, None)


EC_384, RSA = KeyWish("ec", curve="1.3.132.0.34"), KeyWish("rsa")


def test_the_owner_decides_the_key_type_then_the_server_then_the_default() -> None:
    none, rsa = CsrAttributes(), CsrAttributes(keys=(RSA,))
    assert choose_key_type(None, none, KeyType.EC_P384, "https://ca") == (KeyType.EC_P384, none, ())
    assert choose_key_type(None, rsa, KeyType.EC_P256, "https://ca")[0] is KeyType.RSA_2048
    assert choose_key_type(None, rsa, KeyType.RSA_4096, "https://ca")[0] is KeyType.RSA_4096
    assert choose_key_type(KeyType.RSA_3072, rsa, KeyType.EC_P256, "https://ca") == (KeyType.RSA_3072, rsa, ())
    chosen, wishes, notes = choose_key_type(KeyType.EC_P256, rsa, KeyType.EC_P256, "https://ca")
    assert (chosen, wishes.keys) == (KeyType.EC_P256, ())
    assert "as its owner says" in notes[0]


def test_contradictory_wishes_count_only_where_the_owner_says_nothing() -> None:
    """EST-178."""
    both = CsrAttributes(keys=(EC_384, RSA))
    with pytest.raises(CsrAttributesError):
        choose_key_type(None, both, KeyType.EC_P256, "https://ca")
    chosen, wishes, notes = choose_key_type(KeyType.EC_P256, both, KeyType.EC_P256, "https://ca")
    assert (chosen, wishes.keys, len(notes)) == (KeyType.EC_P256, (), 1)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("file:k.pem?pin-source=file:p", "file:{here}/k.pem?pin-source=file:{here}/p"),
        ("tpm2:file=k.pem?pin-source=p", "tpm2:file={here}/k.pem?pin-source={here}/p"),
        ("tpm2:handle=0x81000010?pin-source=file:p", "tpm2:handle=0x81000010?pin-source=file:{here}/p"),
        ("pkcs11:token=t;object=o?pin-source=p", "pkcs11:token=t;object=o?pin-source={here}/p"),
        ("pkcs11:token=t;object=o?pin-source=env:PIN", "pkcs11:token=t;object=o?pin-source=env:PIN"),
        ("pkcs11:token=t;object=o?pin-source=file:/run/pin", "pkcs11:token=t;object=o?pin-source=file:/run/pin"),
    ],
)  # fmt: skip
def test_what_is_stored_means_the_same_in_every_directory(
    uri: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Renewal by a timer starts in another directory than the person who enrolled."""
    monkeypatch.chdir(tmp_path)
    assert str(absolute(uri)) == expected.format(here=tmp_path)
