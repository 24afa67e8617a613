"""/symmetrickeys, /serverkeygen and their return paths (RFC 8295 sections 5 and 8)."""

from __future__ import annotations

from dataclasses import replace

from device_sdk_simulators.est.route import Route
from device_sdk_simulators.est.server_key import ServerKeyGeneration
from device_sdk_simulators.est.site import Surroundings
from device_sdk_simulators.http.messages import HttpError, Request, Response
from device_sdk_simulators.packages.desk import PackageDesk
from device_sdk_simulators.packages.key_returns import read_return
from device_sdk_simulators.packages.sealed_returns import opened

_RETURN = "return"


class KeyDesk:
    """Answers for every site.

    Args:
        packages: the desk of all packages.
        shared: memory, policy and clock of the server.
    """

    def __init__(self, packages: PackageDesk, shared: Surroundings) -> None:
        self._packages = packages
        self._shared = shared
        self.returns = packages.key_returns

    def answer(self, request: Request, route: Route) -> Response:
        """A package as it was published (K-01, K-02), or a receipt or error for one (KR-04)."""
        if (request.method == "POST") is not (route.item == _RETURN):
            raise HttpError(405, "wrong method", [("Allow", "POST" if route.item == _RETURN else "GET")])
        if route.item == _RETURN:
            return self._take_back(request, route)
        client = self._packages.known(request, route)
        package = self._packages.package("symmetrickeys", client, route)
        sent = self._packages.shelf.noting(client, package.place, self._shared.clock)
        facts: dict[str, object] = {"identity": client.identity, "authentication": client.authentication}
        return Response(200, [("Content-Type", package.media_type)], package.content, facts=facts, sent=sent)

    def _take_back(self, request: Request, route: Route) -> Response:
        return take_back(self._packages, request, route, self._shared)


class ServerKeyDesk:
    """/serverkeygen, the items of it that package lists have, and /serverkeygen/return (section 8).

    Args:
        generation: makes keys.
        packages: the desk of all packages.
        shared: memory, policy and clock of the server.
    """

    def __init__(self, generation: ServerKeyGeneration, packages: PackageDesk, shared: Surroundings) -> None:
        self._generation = generation
        self._packages = packages
        self._shared = shared

    def answer(self, request: Request, route: Route) -> Response:
        """A key, in the form that policy, request or item say; or a receipt or error for one (AR-01)."""
        if not route.item:
            return self._generation.answer(request, route)
        if not self._shared.policy.packages:
            raise HttpError(404, "no such operation")
        if route.item == _RETURN:
            return take_back(self._packages, request, route, self._shared)
        return self.item(request, route)

    def item(self, request: Request, route: Route) -> Response:
        """The key that an entry of the client's list leads to."""
        client = self._packages.known(request, route)
        package = self._packages.package(route.operation, client, route)
        response = self._generation.answer_as(package.type, request, replace(route, operation="serverkeygen"))
        if response.status == 200:
            response.sent = self._packages.shelf.noting(client, package.place, self._shared.clock)
        return response


def take_back(packages: PackageDesk, request: Request, route: Route, shared: Surroundings) -> Response:
    """A receipt or error (KR-04, KR-05), encrypted or not (KR-08)."""
    now = shared.clock()
    client = packages.known(request, route)
    media_type = (request.header("Content-Type") or "").partition(";")[0].strip().lower()
    if media_type != "application/cms":
        raise HttpError(415, "receipts and errors are application/cms")
    body = opened(request.body, shared.database.path.parent, now)
    said = read_return(body, client, packages.certificates_of(client))
    packages.key_returns.note(client, said, now, route.operation)
    facts: dict[str, object] = {"identity": client.identity, "returned": said.kind, "code": said.code}
    facts |= {"encrypted": True} if body is not request.body else {}
    return Response(204, facts=facts)
