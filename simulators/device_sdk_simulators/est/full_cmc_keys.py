"""Keys that are asked for by Full CMC: items of /fullcmc that package lists have (types 0020 to 0022 of RFC 8295).

The message proves who asks, once more than TLS; the request inside is that of /serverkeygen, and so is the answer.
"""

from __future__ import annotations

import base64
from dataclasses import replace

from device_sdk_simulators.cmc.desk import Case
from device_sdk_simulators.cmc.refusal import BAD_REQUEST, CmcRefusedError
from device_sdk_simulators.est.full_cmc import FullCmc
from device_sdk_simulators.est.route import Route
from device_sdk_simulators.http.messages import HttpError, Request, Response
from device_sdk_simulators.packages.key_desk import ServerKeyDesk

_OF_THE_MESSAGE = ("content-type", "content-length")


class CmcKeys:
    """Answers for every site.

    Args:
        full_cmc: reads messages, and answers those that are refused.
        keys: makes keys.
    """

    def __init__(self, full_cmc: FullCmc, keys: ServerKeyDesk) -> None:
        self._full_cmc, self._keys = full_cmc, keys

    def answer(self, request: Request, route: Route) -> Response:
        """The answer of /serverkeygen, 202 among them; 4xx with a PKI Response that says why not."""
        policy = self._full_cmc.policy
        if not (policy.packages and policy.serverkeygen):
            raise HttpError(404, "no such operation")
        if request.method != "POST":
            raise HttpError(405, "wrong method", [("Allow", "POST")])
        return self._full_cmc.answer(request, route, self._make)

    def _make(self, case: Case) -> Response:
        der = self._full_cmc.signed(case)
        headers = [(name, value) for name, value in case.request.headers if name.lower() not in _OF_THE_MESSAGE]
        headers.append(("Content-Type", "application/pkcs10"))
        inside = replace(case.request, headers=headers, body=base64.b64encode(der))
        try:
            response = self._keys.item(inside, case.route)
        except HttpError as error:
            raise CmcRefusedError(BAD_REQUEST, error.text, http_status=error.status) from error
        if response.status >= 400:
            text = response.body.decode(errors="replace").strip() or "refused"
            raise CmcRefusedError(BAD_REQUEST, text, http_status=response.status)
        response.facts = case.facts | response.facts
        return response
