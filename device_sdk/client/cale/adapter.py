"""The same as CaleAuth for programs whose `session.auth` is taken: mounted on the edge device's origin."""

from __future__ import annotations

from typing import Any

import requests
from requests.adapters import BaseAdapter

from device_sdk.client.cale.auth import CaleAuth
from device_sdk.wire.cale import GUID_HEADER


class CaleAdapter(BaseAdapter):
    """`session.mount(edge_url, CaleAdapter(auth, HardwareTlsAdapter(trust)))`: trust, TLS and CALE in one place.

    Every request that the session sends to where this is mounted is one of CaleAuth, also one that another origin
    redirected here; `session.auth` stays free for a second credential (CALE-06).

    Args:
        auth: what adds the GUID and decrypts.
        carrier: the adapter that carries requests, with its own trust, pools and retries.
    """

    def __init__(self, auth: CaleAuth, carrier: BaseAdapter) -> None:
        super().__init__()
        self._auth = auth
        self._carrier = carrier

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """As in requests; raises as CaleAuth and the carrier."""
        if GUID_HEADER not in request.headers:
            # the hook it registers is run by the session, as those of every request
            request = self._auth(request)
        return self._carrier.send(request, *args, **options)

    def close(self) -> None:
        """Close the carrier; the key is closed with the auth object."""
        self._carrier.close()
