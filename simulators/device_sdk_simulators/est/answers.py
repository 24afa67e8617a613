"""The forms an EST answer takes."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509

from device_sdk_simulators.est.bodies import encode_body
from device_sdk_simulators.est.cms import certs_only
from device_sdk_simulators.est.multipart import multipart
from device_sdk_simulators.http.messages import HttpError, Request, Response


def issued(request: Request, certificates: Sequence[x509.Certificate], facts: dict[str, object]) -> Response:
    """200 with certificates (RFC 7030 section 4.2.3)."""
    body = encode_body(certs_only(list(certificates)), user_agent=request.header("User-Agent"))
    response = base64_body(200, "application/pkcs7-mime; smime-type=certs-only", body)
    response.facts = facts
    return response


def refusal(error: HttpError, facts: dict[str, object]) -> Response:
    """The answer to a request that is refused; 401 has no body, because Bouncy Castle cannot bear one."""
    if error.status == 401:
        return Response(401, error.headers, facts=facts | {"reason": "credentials needed"})
    response = Response.text(error.status, error.text, error.headers)
    response.facts |= facts
    return response


def base64_body(status: int, media_type: str, body: bytes) -> Response:
    """A body that is base64 already."""
    # RFC 8951 deprecates Content-Transfer-Encoding; Bouncy Castle 1.72 and est-client-python need it
    return Response(status, [("Content-Type", media_type), ("Content-Transfer-Encoding", "base64")], body)


def key_and_certificate(
    key: tuple[str, bytes], certificates: Sequence[x509.Certificate], facts: dict[str, object]
) -> Response:
    """200 with a private key, media type and DER, and the certificate (RFC 7030 section 4.4.2)."""
    media_type, body = multipart(key, ("application/pkcs7-mime; smime-type=certs-only", certs_only(list(certificates))))
    return Response(200, [("Content-Type", media_type)], body, facts=facts)
