"""GET /symmetrickeys and POST /symmetrickeys/return (RFC 8295 sections 5.1 and 5.2)."""

from __future__ import annotations

from datetime import datetime

from device_sdk.errors import RemoteProtocolError
from device_sdk.model.http import HttpRequest, HttpResponse
from device_sdk.model.trust import TlsIdentity
from device_sdk.protocols.est.responses import refuse
from device_sdk.wire import der
from device_sdk.wire.cms.signing import Signer, sign_data
from device_sdk.wire.key_packages.receipts import KEY_PACKAGE_RECEIPT

_BINARY_SIGNING_TIME = "1.2.840.113549.1.9.16.2.46"


def symmetric_keys_request(target: str) -> HttpRequest:
    """GET a package (K-01)."""
    return HttpRequest("GET", target, operation="symmetrickeys")


def read_symmetric_keys(response: HttpResponse, now: datetime) -> bytes | None:
    """The message of an answer, as it came; None for 404 and 204, which mean that there is none (AMB-22).

    The Content-Type does not count: what it is, the bytes say (G-08).

    Raises:
        HttpStatusError: another status than 200.
    """
    if response.status_code in (204, 404):
        return None
    if response.status_code != 200:
        refuse(response, now)
    return response.body


def signed_return(content: bytes, content_type: str, identity: TlsIdentity, now: datetime) -> bytes:
    """A receipt or an error, signed, with the time (KR-02, KR-03, KR-09).

    Args:
        content: DER.
        content_type: KEY_PACKAGE_RECEIPT or KEY_PACKAGE_ERROR.
        identity: whose key signs; the certificates go along.
        now: the present.

    Raises:
        KeyStoreError: the key could not sign.
    """
    time = der.attribute(_BINARY_SIGNING_TIME, der.integer(int(now.timestamp())))
    signer = Signer(identity.key, certificate=identity.chain[0])
    return sign_data(content, content_type, signer, certificates=identity.chain, attributes=[time])


def return_request(target: str, message: bytes, content_type: str) -> HttpRequest:
    """POST a signed receipt or error (KR-01).

    Args:
        target: of /symmetrickeys.
        message: DER of the ContentInfo.
        content_type: of what is in the signature.
    """
    inner = "keyPackageReceipt" if content_type == KEY_PACKAGE_RECEIPT else "keyPackageError"
    media_type = f"application/cms; encapsulatingContent=signedData; innerContent={inner}"
    return HttpRequest(
        "POST", f"{target}/return", (("Content-Type", media_type),), message, operation="symmetrickeys/return"
    )


def check_returned(response: HttpResponse, now: datetime) -> None:
    """Make sure that the server took a receipt or error (section 5.2.2); 200 without a body will do.

    Raises:
        HttpStatusError: it refused.
        RemoteProtocolError: a success with content.
    """
    if response.status_code not in (200, 204):
        refuse(response, now)
    if response.body:
        raise RemoteProtocolError(
            f"{response.shown_url}: an answer with content, where none was expected",
            url=response.url,
            status_code=response.status_code,
        )
