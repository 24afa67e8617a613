"""How receipts, confirms and errors get to the server: at once, or by way of something that keeps them until they are there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from device_sdk.client.est.patience import Patience
from device_sdk.protocols.est.returns import check_returned, return_request

if TYPE_CHECKING:
    from device_sdk.client.est.full_cmc_transaction import Service


@dataclass(frozen=True)
class ReturnMessage:
    """One of them.

    Attributes:
        path: the operation, "firmware/return".
        media_type: value of Content-Type.
        body: DER.
        about: what it says, for people.
        event: names a change that has not happened yet and that it reports; empty if there is nothing to wait for.
        asked: whether anybody asked for it; one nobody asked for is kept, not sent.
    """

    path: str
    media_type: str
    body: bytes = field(repr=False)
    about: str
    event: str = ""
    asked: bool = True


class Returns(Protocol):
    """Keeps messages until the server has them."""

    def give(self, message: ReturnMessage, /) -> None:
        """Keep one; with an `event` it is not to be sent before `settle`.

        Raises:
            StateError: it cannot be kept.
        """

    def settle(self, path: str, event: str | None, *, happened: bool) -> None:
        """What messages report has happened, and they may be sent; or it has not, and they go.

        Args:
            path: of the messages.
            event: of the messages; None for every one.
            happened: whether it has.

        Raises:
            StateError: it cannot be noted.
        """


def give_back(service: Service, message: ReturnMessage, patience: Patience | None) -> None:
    """Keep a message if the service has somebody who does, else send it now.

    Raises:
        HttpStatusError, RemoteProtocolError: see check_returned.
        TransportError: it could not be sent.
        StateError: it could not be kept.
    """
    if service.returns is not None:
        service.returns.give(message)
    elif message.asked:
        request = return_request(service.endpoint, message.path, message.media_type, message.body)
        check_returned(service.exchanges.send(request, patience), service.clock.now())
