"""What a TPM says of itself, and who endorsed it: for a station's ledger, with nothing made or tried."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk_simulators.swtpm import Swtpm

from device_sdk.keystores import registry
from tests.est.pki import Ca


def put(tools, place: str, content: bytes, size: int) -> None:
    """What a maker writes; a place may be larger than what is in it."""
    tools("tpm2_nvdefine", place, "-C", "o", "-s", str(size), "-a", "ownerread|authread|ownerwrite")
    tools("tpm2_nvwrite", place, "-C", "o", "-i", "-", data=content)


def test_about_and_endorsement_certificates(swtpm: Swtpm, tools, loaded, tmp_path: Path) -> None:
    """Certificates of any size, with padding, at any place of the range; templates and noise there are passed over."""
    ca = Ca.root("TPM maker")
    small, large = (
        ca.certificate.public_bytes(Encoding.DER),
        ca.issue_ca("x" * 60).certificate.public_bytes(Encoding.DER),
    )
    put(tools, "0x1c00002", small, len(small))
    put(tools, "0x1c0000a", large + b"\xff" * 700, len(large) + 700)
    put(tools, "0x1c0000b", b"a nonce", 7)
    put(tools, "0x1c00012", b"\x30\x82\xff\xff" + bytes(50), 54)
    tools("tpm2_nvdefine", "0x1c00014", "-C", "o", "-s", "64", "-a", "ownerread|authread|ownerwrite")  # never written
    store, uri = registry.open_store(f"tpm2:file={tmp_path}/key.pem?tcti={swtpm.tcti}")
    with store:
        said = store.about(uri)
    assert said["tpm_manufacturer"] == "IBM"
    assert str(said["tpm_specification"]).startswith("2.0 revision 1.")
    assert str(said["tpm_firmware"]).count(".") == 3
    assert said["ek_certificate_sha256"] == [hashlib.sha256(one).hexdigest() for one in (small, large)]
    assert loaded() == ""


def test_a_tpm_that_nobody_endorsed(swtpm: Swtpm, tmp_path: Path) -> None:
    store, uri = registry.open_store(f"tpm2:file={tmp_path}/key.pem?tcti={swtpm.tcti}")
    with store:
        assert store.about(uri)["ek_certificate_sha256"] == []
