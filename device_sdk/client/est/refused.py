"""What a person can do about a request for a certificate that the server refused, as far as this side knows (EST-160)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from device_sdk.client.est.csr_body import CsrBody
from device_sdk.errors import AuthenticationRequiredError, HttpStatusError
from device_sdk.wire.csr_values import known_as

_ABOUT_THE_REQUEST = (400, 422)
_MAX_NAMED = 4
_COMPARE = (
    "the server did not take the request as it is: compare it with what is asked for (device-sdk est csrattrs), or look into "
    "the server's log"
)


@contextmanager
def explained(body: CsrBody, more: str | None = None) -> Iterator[None]:
    """Say in the hint of a refusal what of the request may be why.

    Args:
        body: the request.
        more: what else may be why, and what to do about it.

    Raises:
        HttpStatusError: as it came.
    """
    try:
        yield
    except AuthenticationRequiredError:
        raise
    except HttpStatusError as error:
        if error.status_code in _ABOUT_THE_REQUEST:
            error.hint = "; ".join(_reasons(body, more)) or _COMPARE
        raise


def _reasons(body: CsrBody, more: str | None) -> Iterator[str]:
    if more:
        yield more
    if body.chosen_binding is not None:
        yield (
            f"the request was bound to the connection as --binding {body.chosen_binding} says: leave the choice to the client "
            "(--binding auto), unless this server needs it"
        )
    if body.has_otp:
        yield "a one-time password is good for one request with one key, and for some time only: check --otp-file"
    if body.left_out:
        named = [known_as(asked) for asked in body.left_out[:_MAX_NAMED]]
        others = ", ..." if len(body.left_out) > _MAX_NAMED else ""
        yield f"of what the server asks for, the request lacks {', '.join(named)}{others}"
