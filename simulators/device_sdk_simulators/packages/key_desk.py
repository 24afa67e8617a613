"""/symmetrickeys and /symmetrickeys/return (RFC 8295 section 5)."""

from __future__ import annotations

from device_sdk_simulators.est.route import Route
from device_sdk_simulators.est.site import Surroundings
from device_sdk_simulators.http.messages import HttpError, Request, Response
from device_sdk_simulators.packages.desk import PackageDesk
from device_sdk_simulators.packages.key_returns import read_return

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
        self._packages.shelf.note_fetch(client, package.place, self._shared.clock())
        facts: dict[str, object] = {"identity": client.identity, "authentication": client.authentication}
        return Response(200, [("Content-Type", package.media_type)], package.content, facts=facts)

    def _take_back(self, request: Request, route: Route) -> Response:
        client = self._packages.known(request, route)
        media_type = (request.header("Content-Type") or "").partition(";")[0].strip().lower()
        if media_type != "application/cms":
            raise HttpError(415, "receipts and errors are application/cms")
        said = read_return(request.body, client)
        self.returns.note(client, said, self._shared.clock())
        return Response(204, facts={"identity": client.identity, "returned": said.kind, "code": said.code})
