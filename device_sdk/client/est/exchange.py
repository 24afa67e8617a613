"""Carrying a conversation over a transport."""

from __future__ import annotations

from device_sdk.errors import AuthenticationRequiredError, RedirectRefusedError
from device_sdk.model.http import HttpResponse
from device_sdk.protocols.est.conversation import Conversation
from device_sdk.transports.base import Transport


def carry(conversation: Conversation, transport: Transport) -> HttpResponse:
    """The final response of a conversation.

    A challenge that is not answered ends the connection, as RFC 7030 section 3.2.3 demands (EST-84); so does a refused
    redirect.

    Raises:
        TransportError, VerificationError: see Transport.send.
        AuthenticationRequiredError, RedirectRefusedError: see Conversation.answer.
    """
    while True:
        response = transport.send(conversation.request)
        try:
            if conversation.answer(response) is None:
                return response
        except (AuthenticationRequiredError, RedirectRefusedError):
            transport.close()
            raise
