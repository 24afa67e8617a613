"""`sync` and packages of symmetric keys: stored once, confirmed, never over what was there (section 13 of the profile)."""

from __future__ import annotations

import dataclasses
import errno
import os
import subprocess

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from device_sdk_simulators.packages import layers
from pyasn1_alt_modules import rfc7191

from device_sdk.errors import (
    KeyExistsError,
    KeyPackageUntrustedError,
)
from device_sdk.keystores.secret_import import SecretPlace
from tests.est.pki import new_key
from tests.packages.keeping import (
    DONE,
    EARLIER,
    FAILED,
    FIRMWARE,
    KEYS,
    RECEIPT,
    bench,
    content,
    maker,
    sealer,
    second_package,
)
from tests.packages.sealing import Sealer, key_package, receipt_request, written
from tests.packages.test_symmetric_keys import unsealed

__all__ = ["bench", "maker", "sealer"]


def test_kr_06_keys_are_stored_and_confirmed(bench):
    report = bench.sync(KEYS)
    assert bench.states(report) == [("0024", DONE)]
    assert list(bench.stored()) == ["k1"]
    (message,) = bench.told
    assert bytes(content(message, rfc7191.KeyPackageReceipt())["receiptOf"]["pkgID"]) == b"pkg-1"
    assert [one.about for one in report.delivery.sent] == [f"receipt for package {b'pkg-1'.hex()}"]
    assert bench.synced.device.state.check() == ()
    assert (bench.synced.device.state.outbox.pending(), bench.synced.device.state.outbox.held()) == ((), ())


def test_kr_08_an_encrypted_receipt_goes_by_way_of_the_outbox(bench):
    key = new_key()
    bench.give("k-1", bench.sealer.seal(request=receipt_request(encrypt=True)))
    bench.sync(KEYS, recipient=bench.sealer.ca.certify("returns", key.public_key()))
    (message,) = bench.told
    assert bytes(content(unsealed(message, key), rfc7191.KeyPackageReceipt())["receiptOf"]["pkgID"]) == b"pkg-1"


def test_kr_06_a_receipt_nobody_asked_for_in_the_package_is_kept_for_the_list(bench):
    bench.give("k-1", bench.sealer.seal(request=receipt_request(wanted=False)))
    bench.sync(KEYS)
    assert bench.told == []
    bench.sync(KEYS, RECEIPT)
    assert len(bench.told) == 1


def test_section_17_3_another_devices_package_is_not_taken(bench, tmp_path):
    """That device opened it, and encrypts what was signed inside, a key that it knows, to this one (openssl)."""
    package = layers.content_info(bench.sealer.signed(bench.sealer.content()))
    (tmp_path / "inner.der").write_bytes(package)
    (tmp_path / "me.pem").write_bytes(bench.synced.certificate.public_bytes(Encoding.PEM))
    words = ["openssl", "cms", "-encrypt", "-binary", "-aes-256-cbc", "-outform", "DER", "-in", tmp_path / "inner.der"]
    recipient = ["-recip", tmp_path / "me.pem", "-keyopt", "ecdh_kdf_md:sha256"]
    forwarded = subprocess.run([*words, *recipient], capture_output=True, check=True).stdout
    bench.give("k-1", forwarded)
    report = bench.sync(KEYS)
    assert bench.states(report) == [("0024", FAILED)]
    assert "nothing that is signed says for whom it is" in bench.synced.result(report, "0024").detail
    assert bench.stored() == {}
    assert len(bench.told) == 1


def test_k_06_a_package_that_is_refused_is_told_once_and_again_if_asked(bench):
    stranger = Sealer()
    stranger.device = bench.synced.certificate
    bench.give("k-1", stranger.seal())
    report = bench.sync(KEYS, FIRMWARE)
    assert bench.states(report) == [("0024", FAILED), ("0026", DONE)]
    assert isinstance(bench.synced.result(report, "0024").error, KeyPackageUntrustedError)
    error = content(bench.told[0], rfc7191.KeyPackageError())
    assert int(error["errorCode"]["enum"]) == 10
    assert bench.states(bench.sync(KEYS)) == [("0024", FAILED)]
    assert bench.told == [], "told already"
    bench.sync(KEYS, RECEIPT)
    assert len(bench.told) == 1
    assert bench.stored() == {}


def test_k_11_keys_that_are_there_are_replaced_only_if_that_is_wanted(bench):
    bench.sync(KEYS)
    bench.give("k-1", bench.sealer.seal(package=key_package(written(value=b"n" * 16)), request=receipt_request(b"2")))
    before = bench.stored()
    report = bench.sync(KEYS)
    assert isinstance(bench.synced.result(report, "0024").error, KeyExistsError)
    assert bench.stored() == before
    assert int(content(bench.told[0], rfc7191.KeyPackageError())["errorCode"]["enum"]) == 127
    assert bench.synced.device.state.outbox.held() == ()
    assert bench.states(bench.sync(KEYS, replace=True)) == [("0024", DONE)]
    assert bench.stored() == {"k1": (b"n" * 16).hex()}


@pytest.mark.parametrize("kind", ["private key", "another identifier", "link", "damaged"])
def test_k_11_what_is_no_key_of_that_identifier_is_never_replaced(bench, kind):
    """Whoever packs keys chooses their names, and so those of files: the device's own private key is not theirs."""
    path = bench.keys / "k1.key.json"
    if kind == "private key":
        path.write_bytes(new_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    elif kind == "link":
        (bench.keys.parent / "elsewhere").write_text('{"key_id": "k1", "value": "00"}\n')
        path.symlink_to(bench.keys.parent / "elsewhere")
    else:
        path.write_text('{"key_id": "k2", "value": "00"}\n' if kind == "another identifier" else '{"key_id": "k1", "va')
    before = path.read_bytes()
    bench.give("k-1", bench.sealer.seal(package=key_package(written("k0"), written("k1")), request=receipt_request()))
    report = bench.sync(KEYS, replace=True)
    assert bench.states(report) == [("0024", FAILED)]
    assert "no key of the identifier 'k1'" in bench.synced.result(report, "0024").error.message
    assert path.read_bytes() == before
    assert list(bench.keys.iterdir()) == [path], "nothing was stored"
    assert int(content(bench.told[0], rfc7191.KeyPackageError())["errorCode"]["enum"]) == 127
    assert bench.synced.device.state.processed.all()[0].result == "refused"


@pytest.mark.parametrize("loses", [False, True])
def test_an_old_package_of_keys_does_not_come_back_from_another_place(bench, loses):
    """Nor at the same one after another, nor once the ledger is lost: it has no number that would say that it is old."""
    first, second = bench.sealer.seal(request=receipt_request()), second_package(bench)
    other = ("0024", "symmetrickeys/other", 901)
    bench.give("k-1", first)
    bench.sync(KEYS, replace=True)
    bench.give("k-1", second)
    assert bench.states(bench.sync(KEYS, replace=True)) == [("0024", DONE)]
    for place, entry in (("other", other), ("k-1", KEYS)):
        if loses:
            for path in (bench.synced.device.state.path / "processed").iterdir():
                path.unlink()
        bench.give(place, first)
        assert bench.states(bench.sync(entry, replace=True)) == [("0024", EARLIER)]
        assert bench.stored() == {"k1": (b"n" * 16).hex()}
        assert bench.told == []
    bench.give("k-1", second)
    assert bench.states(bench.sync(KEYS, other)) == [("0024", EARLIER)] * 2, "nor does it fail if keys are not replaced"
    assert bench.synced.device.state.check() == ()


def test_an_old_package_of_keys_is_known_in_other_octets(bench):
    """What no signature covers, anybody can write anew; what is signed inside is what counts."""
    import base64

    inner = bench.sealer.signed(bench.sealer.content(), request=receipt_request())
    first = layers.content_info(bench.sealer.signed(bench.sealer.enveloped(inner)))
    bench.give("k-1", first)
    bench.sync(KEYS, replace=True)
    bench.give("k-1", second_package(bench))
    bench.sync(KEYS, replace=True)
    again = layers.content_info(bench.sealer.signed(bench.sealer.enveloped(inner)))
    assert again != first
    for message in (base64.b64encode(first) + b"\n", again):
        bench.give("other", message)
        assert bench.states(bench.sync(("0024", "symmetrickeys/other", 901), replace=True)) == [("0024", EARLIER)]
    assert bench.stored() == {"k1": (b"n" * 16).hex()}


def test_keys_are_refused_while_nobody_knows_which_were_stored(bench):
    bench.sync(KEYS)
    file = bench.synced.device.state.taken_keys.file
    for damaged in ("{", '{"version": 1, "stored": {"../x": "2026-01-01T00:00:00Z"}}', '{"version": 1}'):
        file.write_text(damaged)
        bench.give("k-1", second_package(bench))
        assert bench.states(bench.sync(KEYS, replace=True)) == [("0024", FAILED)]
        assert str(file) in bench.synced.device.state.check()[0]
    assert bench.stored() == {"k1": bytes(range(0x40, 0x50)).hex()}


def test_k_11_half_of_a_package_for_want_of_room_is_told_once(bench, monkeypatch):
    """insufficientMemory (RFC 7191); there is no receipt, not for the asking either, before the next run has stored the rest."""

    def full(name):
        def named(source, target, **options):
            if os.fspath(target).endswith("k2.key.json"):
                raise OSError(errno.ENOSPC, "No space left on device")
            return name(source, target, **options)

        return named

    bench.give("k-1", bench.sealer.seal(package=key_package(written("k1"), written("k2")), request=receipt_request()))
    for name in ("link", "rename"):
        monkeypatch.setattr(os, name, full(getattr(os, name)))
    told = []
    for _ in range(2):
        report = bench.sync(KEYS, RECEIPT)
        assert bench.states(report)[0] == ("0024", FAILED)
        assert "stored: k1; not stored: k2" in report.steps[0].detail
        told += bench.told
    (error,) = told
    assert int(content(error, rfc7191.KeyPackageError())["errorCode"]["enum"]) == 17
    monkeypatch.undo()
    assert bench.states(bench.sync(KEYS)) == [("0024", DONE)]
    assert sorted(bench.stored()) == ["k1", "k2"]
    (receipt,) = bench.told
    assert bytes(content(receipt, rfc7191.KeyPackageReceipt())["receiptOf"]["pkgID"]) == b"pkg-1"


class PowerCutError(BaseException):
    """Nothing handles it."""


@pytest.fixture
def cut(monkeypatch):
    """`sync` that ends just before the first key is stored, or just after the last."""

    def run(bench, *entries, stored: bool, **options) -> None:
        store = SecretPlace.store

        def interrupted(place, *args, **how):
            if stored:
                store(place, *args, **how)
            raise PowerCutError

        with monkeypatch.context() as patch:
            patch.setattr(SecretPlace, "store", interrupted)
            with pytest.raises(PowerCutError):
                bench.sync(*entries, **options)

    return run


@pytest.mark.parametrize("stored", [False, True])
def test_keys_that_a_power_cut_left_half_done_are_stored_over_themselves(bench, cut, stored):
    cut(bench, KEYS, stored=stored)
    outbox = bench.synced.device.state.outbox
    assert (len(bench.stored()), len(outbox.held()), bench.told) == (stored, 1, [])
    cut(bench, KEYS, stored=stored)
    assert bench.states(bench.sync(KEYS)) == [("0024", DONE)]
    assert (len(bench.told), outbox.held(), list(bench.stored())) == (1, (), ["k1"])


def test_k_11_a_power_cut_does_not_have_keys_replaced_that_were_there_before(bench, cut):
    """Whether it comes before anything is stored, or while keys are replaced and their owner then thinks better of it."""
    bench.sync(KEYS)
    before = bench.stored()
    bench.give("k-1", second_package(bench))
    cut(bench, KEYS, stored=False, replace=True)
    assert bench.synced.device.state.processed.all()[0].free == ()
    report = bench.sync(KEYS)
    assert isinstance(bench.synced.result(report, "0024").error, KeyExistsError)
    assert bench.stored() == before
    assert bench.synced.device.state.outbox.held() == ()


def test_k_11_what_was_free_is_noted_before_the_change(bench, cut):
    bench.sync(KEYS)
    values = written(value=b"n" * 16), written("k2")
    bench.give("k-1", bench.sealer.seal(package=key_package(*values), request=receipt_request(b"pkg-2")))
    bench.sync(KEYS)
    assert {one.result for one in bench.synced.device.state.processed.all()} == {"refused"}, "never begun"
    cut(bench, KEYS, stored=False, replace=True)
    (noted,) = bench.synced.device.state.processed.all()
    assert (noted.result, len(noted.free)) == ("begun", 1), "k2 only"


def test_keys_that_were_stored_and_noted_before_a_power_cut_are_confirmed_and_not_stored_again(bench):
    """Newer ones may be there by now."""
    bench.sync(KEYS)
    state = bench.synced.device.state
    (record,) = state.processed.all()
    (kept,) = record.returns
    state.processed.save(dataclasses.replace(record, result="begun", event=record.sha256))
    state.outbox.put(
        kept.path, kept.media_type, kept.body, about=kept.about, made_at=record.at, held=True, event=record.sha256
    )
    assert bench.states(bench.sync(KEYS, replace=True)) == [("0024", EARLIER)]
    assert (bench.told, state.outbox.held()) == ([kept.body], ())
    assert [one.result for one in state.processed.all()] == ["done"]
