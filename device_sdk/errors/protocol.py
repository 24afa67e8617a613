"""What the other side of a protocol did or said."""

from __future__ import annotations

from device_sdk.errors.base import DeviceSdkError


class RemoteProtocolError(DeviceSdkError):
    """The peer broke the protocol; `url` is the endpoint, `status_code` what it answered."""

    code = "remote-protocol"
    exit_code = 7
    hint = "look into the server's log, or ask its operator"
    url: str | None = None
    status_code: int | None = None


class HttpStatusError(RemoteProtocolError):
    """The server refused; `server_text` is what it said (bounded, printable), `retry_after_s` when it asked to wait."""

    code = "http-status"
    server_text: str | None = None
    retry_after_s: float | None = None


class BehindEdgeError(HttpStatusError):
    """CALE: an error that arrived encrypted, as an answer would: the edge device passed it on and cannot know (CALE-05).

    `status_code` is the one of the server behind the edge device, `location` where it says that the content is now. The
    registration is sound.
    """

    code = "behind-edge"
    location: str | None = None


class AuthenticationRequiredError(HttpStatusError):
    """401: no credentials, or they were refused; `schemes` are the ones offered."""

    code = "authentication-required"
    schemes: tuple[str, ...] | None = None


class RedirectRefusedError(RemoteProtocolError):
    """A redirect that must not be followed; `location` is where it pointed."""

    code = "redirect-refused"
    location: str | None = None


class CertificateMismatchError(RemoteProtocolError):
    """The issued certificate is not one for the key or the trust anchors of this request."""

    code = "certificate-mismatch"


class ServerKeyError(RemoteProtocolError):
    """A key the server generated, or the way it is protected, is not what was asked for; the key was not kept.

    `certificate_missing`: all that is wrong is that no certificate came with it. `made_none`: the server took the request for
    one to certify the key in it.
    """

    code = "server-key"
    certificate_missing: bool = False
    made_none: bool = False


class CsrAttributesError(RemoteProtocolError):
    """What /csrattrs asks for contradicts itself, is below the local policy, or cannot be made; `asked` are its words."""

    code = "csr-attributes"
    asked: tuple[str, ...] | None = None


class EnrolmentPendingError(DeviceSdkError):
    """202: the request was accepted and is not decided; ask again after `retry_after_s` seconds."""

    code = "pending"
    exit_code = 8
    url: str | None = None
    retry_after_s: float | None = None
