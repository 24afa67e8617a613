"""The EST operations: a request in, an answer out (RFC 7030 section 4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias
from urllib.parse import unquote

from device_sdk_simulators.est.answers import base64_body
from device_sdk_simulators.est.authorize import Client
from device_sdk_simulators.est.bodies import encode_body
from device_sdk_simulators.est.cms import certs_only
from device_sdk_simulators.est.csrattrs import csr_attributes
from device_sdk_simulators.est.dialect import DRAFT_04, dressed, operation_of, well_known
from device_sdk_simulators.est.enrolment import Enrolment
from device_sdk_simulators.est.full_cmc import FullCmc
from device_sdk_simulators.est.full_cmc_keys import CmcKeys
from device_sdk_simulators.est.queue import ApprovalQueue
from device_sdk_simulators.est.requirements import Requirements, demand_for
from device_sdk_simulators.est.results import OPERATIONS as RESULTS
from device_sdk_simulators.est.results import Results
from device_sdk_simulators.est.route import Route
from device_sdk_simulators.est.server_key import ServerKeyGeneration
from device_sdk_simulators.est.site import Site, Surroundings
from device_sdk_simulators.est.sites import Sites
from device_sdk_simulators.http.messages import HttpError, Request, Response
from device_sdk_simulators.packages.desk import PackageDesk
from device_sdk_simulators.packages.key_desk import KeyDesk, ServerKeyDesk
from device_sdk_simulators.packages.tamp.desk import TampDesk
from device_sdk_simulators.policy import LabelError, check_label

PREFIX = "/.well-known/est/"
_WELL_KNOWN = [".well-known", "est"]
_WITH_ITEMS = {"pal", "eecerts", "symmetrickeys", "firmware", "tamp", "serverkeygen", "fullcmc"}
_PACKAGES = ("pal", "eecerts", "crls", "symmetrickeys", "firmware", "tamp")
_BOTH_WAYS = "GET, POST"
_NOT_BASE64 = ("pal", "symmetrickeys", "firmware", "tamp")
Handler: TypeAlias = Callable[[Request, Route], Response]


class EstApp:
    """One EST server.

    Args:
        sites: the CAs.
        shared: what they have in common: memory, users, policy, clock, faults.
    """

    def __init__(self, sites: Sites, shared: Surroundings) -> None:
        self._policy = policy = shared.policy
        self.sites = sites
        self.queue = ApprovalQueue(shared.database, policy)
        self.gatekeeper, self.register = sites.main.gatekeeper, sites.main.register
        self.requirements = Requirements(shared.database, policy)
        self.results = Results(shared.database, policy)
        self._enrolment = enrolment = Enrolment(self.queue, self.requirements, policy, shared.clock, self.results)
        self.full_cmc = FullCmc(self.queue, self.requirements, shared)
        self.server_keys = ServerKeyGeneration(self.queue, self.requirements, shared)
        self.packages = packages = PackageDesk(shared, self.results)
        server_keys = ServerKeyDesk(self.server_keys, packages, shared)
        self._cmc_keys = CmcKeys(self.full_cmc, server_keys)
        self._operations: dict[str, tuple[str, Handler]] = {
            "cacerts": ("GET", self._cacerts),
            "csrattrs": ("GET", self._csrattrs),
            "simpleenroll": (_BOTH_WAYS, enrolment.answer),
            "simplereenroll": (_BOTH_WAYS, enrolment.answer),
            "serverkeygen": ("POST", server_keys.answer),
            "fullcmc": (_BOTH_WAYS, self._full_cmc),
            "pal": ("GET", packages.pal),
            "crls": ("GET", packages.crls),
            "eecerts": ("GET", packages.eecerts),
            "symmetrickeys": (_BOTH_WAYS, KeyDesk(packages, shared).answer),
            "firmware": (_BOTH_WAYS, packages.firmware),
            "tamp": (_BOTH_WAYS, TampDesk(packages, shared).answer),
        }

    def handle(self, request: Request) -> Response:
        """Answer one request; HttpError for every refusal."""
        route = self._route(request)
        method, handler = self._operations[route.operation]
        if route.operation in RESULTS and not self._policy.packages:
            method = "POST"  # results are fetched by clients of RFC 8295 only
        if request.method not in method.split(", "):
            raise HttpError(405, "wrong method", [("Allow", method)])
        spoiler = route.site.spoiler
        response = spoiler.instead(route.place) or handler(request, route)
        if self._policy.dialect == DRAFT_04:
            # faults of encodings are about those of RFC 7030
            response = dressed(route.operation, response)
        elif response.status == 200 and route.operation not in _NOT_BASE64:
            response = spoiler.encoding(route.operation, response)
        # EST-18: neither certificates nor what became of a request may come from a cache
        response.headers = [*response.headers, ("Cache-Control", "no-store")]
        place = route.place if route.item else None
        response.facts = {"operation": route.operation, "place": place, "label": route.label or None} | response.facts
        return response

    def serves(self, path: str) -> bool:
        """Whether a path is for EST."""
        return well_known(path, self._policy.dialect, PREFIX).startswith("/.well-known/")

    def _route(self, request: Request) -> Route:
        path = well_known(request.target.split("?", 1)[0], self._policy.dialect, PREFIX)
        # RFC 3986 section 2.4: split, then decode, or else %2F in a name would end it
        _root, *parts = (unquote(part) for part in path.split("/"))
        segments = parts[2:]
        if parts[:2] != _WELL_KNOWN or not segments:
            raise HttpError(404, "no such operation")
        # a label is never the name of an operation (EST-07), so this cannot be read in two ways
        labelled = operation_of(segments[0], self._policy.dialect) not in self._operations
        label = segments.pop(0) if labelled else ""
        operation = operation_of(segments[0], self._policy.dialect) if segments else ""
        if not self._has(operation) or len(segments) > (2 if operation in _WITH_ITEMS else 1):
            raise HttpError(404, "no such operation")
        site = self._site(label) if labelled else self.sites.main
        if site is None:
            raise HttpError(404, "no such label")
        return Route(operation, label, site, "".join(segments[1:]))

    def _has(self, operation: str) -> bool:
        """Optional operations that are off are as unknown as any other name (EST-17, EST-190, EST-204)."""
        off = {"serverkeygen": not self._policy.serverkeygen, "fullcmc": not self._policy.fullcmc}
        off |= dict.fromkeys(_PACKAGES, not self._policy.packages)
        return operation in self._operations and not off.get(operation, False)

    def _site(self, label: str) -> Site | None:
        try:
            check_label(label)
        except LabelError:
            return None
        return self.sites.at(label)

    def _full_cmc(self, request: Request, route: Route) -> Response:
        """Results are those of any enrolment, given as a Simple PKI Response; none before the client has confirmed."""
        if route.item:
            return self._cmc_keys.answer(request, route)
        if request.method != "GET":
            return self.full_cmc.answer(request, route)
        if self._policy.fullcmc_confirm:
            raise HttpError(404, "certificates are confirmed here, by messages of the transaction")
        return self._enrolment.answer(request, route)

    def _cacerts(self, request: Request, route: Route) -> Response:
        body = encode_body(certs_only(route.site.spoiler.bag("cacerts")), user_agent=request.header("User-Agent"))
        return self.packages.noted_public(base64_body(200, "application/pkcs7-mime", body), request, route)

    def _csrattrs(self, request: Request, route: Route) -> Response:
        client = self._known_client(request, route)
        der = csr_attributes(self._policy, demand_for(self._policy, route.label, client))
        if der is None:
            return Response(204)
        return base64_body(200, "application/csrattrs", encode_body(der, user_agent=request.header("User-Agent")))

    def _known_client(self, request: Request, route: Route) -> Client:
        """Who asks for /csrattrs, if that matters: nobody has to say so, except by policy (EST-170)."""
        if not self._policy.csrattrs_login and not any(one.personal for one in self._policy.demands):
            return Client()
        client = route.site.gatekeeper.identify(request)
        if self._policy.csrattrs_login and not client.knows_password and client.certificate is None:
            raise HttpError(401, "")
        return client
