"""draft-deutch-lamps-client-app-encrypt-00, appendix B: the printed messages open with the printed key."""

from __future__ import annotations

import base64

import pytest

from device_sdk.errors import EnvelopeError
from device_sdk.model.keys import PrivateKey
from device_sdk.wire.cms import open_envelope
from tests.cms.messages import VECTORS

MESSAGES = [
    ("enveloped-b1.3", "enveloped-b1.3.plain.txt"),
    ("enveloped-b2.7", "enveloped-b2.7.plain.json"),
    ("enveloped-b3.3", "enveloped-b3.3.plain.cert.pem"),
]


@pytest.mark.parametrize(("message", "plaintext"), MESSAGES)
@pytest.mark.parametrize("form", ["wrapped", "one-line", "der", "pem-cms", "pem-pkcs7", "crlf", "smime"])
def test_cale_08_printed_messages_open_without_any_certificate(
    draft_key: PrivateKey, message: str, plaintext: str, form: str
) -> None:
    der = (VECTORS / f"{message}.der").read_bytes()
    wrapped = (VECTORS / f"{message}.b64").read_bytes()
    forms = {
        "wrapped": wrapped,
        "one-line": base64.b64encode(der),
        "der": der,
        "pem-cms": b"-----BEGIN CMS-----\n" + wrapped.rstrip() + b"\n-----END CMS-----\n",
        "pem-pkcs7": b"words before\n-----BEGIN PKCS7-----\r\n" + wrapped.rstrip() + b"\r\n-----END PKCS7-----\r\n",
        "crlf": wrapped.replace(b"\n", b"\r\n"),
        "smime": b"MIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n\r\n" + wrapped,
    }
    assert open_envelope(forms[form], draft_key) == (VECTORS / plaintext).read_bytes()


@pytest.mark.parametrize("name", ["decoy-b2.3c.b64", "decoy-b2.3c.bin"])
def test_cale_36_printed_decoy_is_refused(draft_key: PrivateKey, name: str) -> None:
    with pytest.raises(EnvelopeError):
        open_envelope((VECTORS / name).read_bytes(), draft_key)


@pytest.mark.parametrize("name", ["client.csr.pem", "validation-response.cert.pem", "privkey.enc.pem"])
def test_other_pem_files_are_refused(draft_key: PrivateKey, name: str) -> None:
    with pytest.raises(EnvelopeError):
        open_envelope((VECTORS / name).read_bytes(), draft_key)
