"""The operations of RFC 8295: /pal, /eecerts, /crls, /firmware."""

from __future__ import annotations

from contextlib import suppress

from cryptography import x509

from device_sdk_simulators.est.answers import base64_body
from device_sdk_simulators.est.authorize import Client
from device_sdk_simulators.est.bodies import encode_body
from device_sdk_simulators.est.results import Results
from device_sdk_simulators.est.route import Route
from device_sdk_simulators.est.site import Surroundings
from device_sdk_simulators.http.messages import HttpError, Request, Response
from device_sdk_simulators.packages.availability import entries_for, page_of, receipts_wanted
from device_sdk_simulators.packages.firmware.desk import RETURN, FirmwareDesk
from device_sdk_simulators.packages.key_returns import KeyReturns
from device_sdk_simulators.packages.lists import RevocationLists
from device_sdk_simulators.packages.own_keys import certificates_of, of_generated_keys
from device_sdk_simulators.packages.pal_forms import to_json, to_xml
from device_sdk_simulators.packages.shelf import Package, Shelf
from device_sdk_simulators.packages.tamp.book import OPERATION as TAMP
from device_sdk_simulators.packages.tamp.book import TampBook
from device_sdk_simulators.packages.tamp.outstanding import open_messages, wanted

_XML, _JSON = "application/xml", "application/json"


class PackageDesk:
    """Answers for every site.

    Args:
        shared: memory, policy and clock of the server.
        results: what became of enrolments.
    """

    def __init__(self, shared: Surroundings, results: Results) -> None:
        self._shared = shared
        self._results = results
        self.shelf = Shelf(shared.database)
        self.key_returns = KeyReturns(shared.database)
        self.tamp = TampBook(shared.database)
        self._lists = RevocationLists(shared.database)
        self._firmware = FirmwareDesk(shared, self.shelf)

    def pal(self, request: Request, route: Route) -> Response:
        """The client's list, or the part of it that the item says (section 2; P-02 to P-12)."""
        client = self.known(request, route)
        number = route.item or "1"
        if not number.isascii() or not number.isdigit() or len(number) > 6:
            raise HttpError(404, "no such part of the list")
        policy, now, base = self._shared.policy, self._shared.clock(), _base(request, route)
        crls_size = len(self._lists.of(route.site, now))
        messages = open_messages(client, self.published(TAMP, client, route), self.tamp)
        results = self._results.open(client, route.label, now)
        entries = entries_for(
            client,
            route,
            base,
            self.shelf,
            policy,
            now,
            crls_size=crls_size,
            messages=messages,
            results=results,
            certificates=certificates_of(client, self._shared.database)[1:],
            generated=of_generated_keys(client, self._shared.database),
        )
        entries += receipts_wanted(entries, base, self.key_returns, client)
        entries += self._firmware.wanted(client, self.published("firmware", client, route), base)
        entries += wanted(messages, self.shelf.fetches_of(client), base)
        part = page_of(entries, int(number), policy.pal_limit, base)
        if part is None:
            raise HttpError(404, "no such part of the list")
        media_type = _preferred(request.header("Accept"))
        body = to_json(part) if media_type == _JSON else to_xml(part)
        facts: dict[str, object] = {"identity": client.identity, "authentication": client.authentication}
        return Response(200, [("Content-Type", media_type)], body, facts=facts)

    def crls(self, request: Request, route: Route) -> Response:
        """Revocation lists of the CA, for everybody (section 4; C-02)."""
        body = self._lists.of(route.site, self._shared.clock())
        answer = base64_body(
            200,
            "application/pkcs7-mime; smime-type=crls-only",
            encode_body(body, user_agent=request.header("User-Agent")),
        )
        return self.noted_public(answer, request, route)

    def eecerts(self, request: Request, route: Route) -> Response:
        """Certificates of the client's peers, those of the item, or what was published last (section 3; E-02, E-04)."""
        client = self.known(request, route)
        package = self.package("eecerts", client, route)
        answer = base64_body(
            200, package.media_type, encode_body(package.content, user_agent=request.header("User-Agent"))
        )
        answer.sent = self.shelf.noting(client, package.place, self._shared.clock)
        return answer

    def firmware(self, request: Request, route: Route) -> Response:
        """A firmware package for the client, or a report of the client about one (section 6)."""
        client = self.known(request, route)
        if (route.item == RETURN) is not (request.method == "POST"):
            raise HttpError(405, "wrong method", [("Allow", "POST" if route.item == RETURN else "GET")])
        if route.item == RETURN:
            return self._firmware.take(request, client, self.published("firmware", client, route))
        return self._firmware.give(client, self.package("firmware", client, route))

    def noted_public(self, answer: Response, request: Request, route: Route) -> Response:
        """Something for everybody is fetched, by somebody who may be known; nobody has to be (G-02)."""
        if request.tls.client_chain:
            with suppress(HttpError):
                client = route.site.gatekeeper.identify(request)
                answer.sent = self.shelf.noting(client, route.operation, self._shared.clock)
        return answer

    def known(self, request: Request, route: Route) -> Client:
        """Who asks; HttpError 401 for nobody (G-01)."""
        client = route.site.gatekeeper.identify(request)
        if client.certificate is None and not client.knows_password:
            raise HttpError(401, "")
        return client

    def certificates_of(self, client: Client) -> list[x509.Certificate]:
        """Those whose keys sign for this client."""
        return certificates_of(client, self._shared.database)

    def published(self, operation: str, client: Client, route: Route) -> list[Package]:
        """What there is of one kind for this client, oldest first."""
        return [one for one in self.shelf.for_client(client, route.label) if one.operation == operation]

    def package(self, operation: str, client: Client, route: Route) -> Package:
        """What the client asks for; HttpError 404 if there is nothing of that kind for it (AMB-22)."""
        found = self.published(operation, client, route)
        if route.item:
            found = [one for one in found if one.item == route.item]
        if not found:
            # the same whether it is somebody else's or nobody's
            raise HttpError(404, "nothing of this kind is here for this client")
        return found[-1]


def _base(request: Request, route: Route) -> str:
    """URL of the service as the client writes it: its own Host, so that it knows it again (P-21)."""
    path = request.target.split("?", 1)[0].rstrip("/")
    service = path.removesuffix(f"/{route.item}") if route.item else path
    return f"https://{request.header('Host') or ''}{service.rpartition('/')[0]}"


def _preferred(accept: str | None) -> str:
    """XML or JSON, by Accept; XML if the client does not care (section 2.2)."""
    best, chosen = 0.0, _XML
    for part in (accept or "").split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((one[2:] for one in parameters if one.startswith("q=")), "1")
        weight = float(quality) if quality.isascii() and quality.replace(".", "", 1).isdigit() else 0.0
        if name in (_XML, _JSON) and weight > best:
            best, chosen = weight, name
    return chosen
