"""crls.pem and peers.pem of a state directory: whole, ours, bounded, and readable by others (C-06)."""

from __future__ import annotations

import subprocess

import pytest
from cryptography import x509

from device_sdk.errors import StateCorruptError, StateError
from device_sdk.state import KeptPackages, KeptPeer, StateDirectory, SyncJournal, packages
from tests.est.pki import NOW, Ca, new_key
from tests.packages.test_crls import crl

CA = Ca.root("Root")
PEERS = tuple(
    KeptPeer(place, CA.certify(name, new_key().public_key()))
    for place, name in (("/.well-known/est/eecerts/1", "one"), ("/.well-known/est/a%20b/eecerts?x=1", "two"))
)


@pytest.fixture
def kept(tmp_path) -> KeptPackages:
    return StateDirectory(tmp_path / "state").packages


def test_nothing_before_the_first(kept):
    assert (kept.lists(), kept.peers(), kept.journal()) == ((), (), None)
    kept.save_lists([])
    assert not kept.crls_file.exists()


def test_what_was_kept_is_read_here_and_by_openssl(kept):
    lists = (crl(CA, number=1), crl(CA, number=2))
    kept.save_lists(lists)
    kept.save_peers(PEERS)
    assert (kept.lists(), kept.peers()) == (lists, PEERS)
    assert kept.peers_file.stat().st_mode & 0o777 == 0o644
    assert x509.load_pem_x509_certificates(kept.peers_file.read_bytes()) == [one.certificate for one in PEERS]
    for words in (("x509", "-in", kept.peers_file), ("crl", "-in", kept.crls_file)):
        subprocess.run(["openssl", *map(str, words), "-noout"], check=True, timeout=30)
    kept.save_peers(())
    kept.save_lists(())
    assert (kept.lists(), kept.peers()) == ((), ())


@pytest.mark.parametrize(
    "content",
    [
        b"-----BEGIN X509 CRL-----\nbm8=\n-----END X509 CRL-----\n",
        b"-----BEGIN X509 CRL-----\n",
        b"-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\n",
        b"Place: x\n-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\n",
    ],
)
def test_what_is_damaged_is_refused_and_named(kept, content):
    kept.save_lists([crl(CA)])
    for path, read in ((kept.crls_file, kept.lists), (kept.peers_file, kept.peers)):
        path.write_bytes(content)
        with pytest.raises(StateCorruptError, match="cannot be understood") as caught:
            read()
        assert caught.value.path == str(path)
        assert "device-sdk sync" in str(caught.value.hint)


def test_more_than_is_kept_is_refused_and_changes_nothing(kept, monkeypatch):
    kept.save_lists([crl(CA, number=1)])
    before = kept.crls_file.read_bytes()
    monkeypatch.setattr(packages, "MAX_KEPT_BYTES", len(before))
    with pytest.raises(StateError, match="larger than the"):
        kept.save_lists([crl(CA, number=1), crl(CA, number=2)])
    assert kept.crls_file.read_bytes() == before


def test_what_others_may_write_is_not_read(kept):
    kept.save_lists([crl(CA)])
    kept.crls_file.parent.chmod(0o777)
    with pytest.raises(StateError, match="everybody may write"):
        kept.lists()


def test_the_journal(kept):
    journal = SyncJournal(NOW, "ab" * 32, ("one", "two")).having("two")
    kept.write_journal(journal)
    assert kept.journal() == journal
    kept.drop_journal()
    kept.drop_journal()
    assert kept.journal() is None
