"""What goes back for a package of keys: POST /symmetrickeys/return and /serverkeygen/return (RFC 8295 sections 5.2 and 8.2)."""

from __future__ import annotations

from datetime import datetime

from device_sdk.errors import RemoteProtocolError
from device_sdk.model.http import HttpRequest, HttpResponse
from device_sdk.model.trust import TlsIdentity
from device_sdk.protocols.est.responses import refuse
from device_sdk.protocols.est.urls import EstEndpoint, Operation
from device_sdk.wire import der
from device_sdk.wire.cms.signing import Signer, sign_data
from device_sdk.wire.key_packages.receipts import KEY_PACKAGE_RECEIPT

_BINARY_SIGNING_TIME = "1.2.840.113549.1.9.16.2.46"


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


def return_media_type(content_type: str) -> str:
    """Of a signed receipt or error (G-06).

    Args:
        content_type: of what is in the signature.
    """
    inner = "keyPackageReceipt" if content_type == KEY_PACKAGE_RECEIPT else "keyPackageError"
    return f"application/cms; encapsulatingContent=signedData; innerContent={inner}"


def return_request(endpoint: EstEndpoint, operation: Operation, message: bytes, media_type: str) -> HttpRequest:
    """POST a signed receipt or error (KR-01, AR-01).

    Args:
        endpoint: the service.
        operation: the one that gave the package.
        message: DER of the ContentInfo.
        media_type: of it.
    """
    target = f"{endpoint.target(operation)}/return"
    return HttpRequest(
        "POST", target, (("Content-Type", media_type),), message, operation=f"{operation.value}/return"
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
