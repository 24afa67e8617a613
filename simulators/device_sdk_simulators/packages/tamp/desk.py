"""/tamp and /tamp/return (RFC 8295 section 7)."""

from __future__ import annotations

from device_sdk_simulators.est.authorize import Client
from device_sdk_simulators.est.route import Route
from device_sdk_simulators.est.site import Surroundings
from device_sdk_simulators.http.messages import HttpError, Request, Response
from device_sdk_simulators.packages.addresses import addresses_of
from device_sdk_simulators.packages.desk import PackageDesk
from device_sdk_simulators.packages.own_keys import certificates_of, is_signed_by
from device_sdk_simulators.packages.shelf import Package
from device_sdk_simulators.packages.tamp.answers import BadAnswerError, Reading, read_answer
from device_sdk_simulators.packages.tamp.book import OPERATION, Answer, Sent
from device_sdk_simulators.packages.tamp.kinds import BY_ANSWER, ERROR_MEDIA
from device_sdk_simulators.packages.tamp.kinds import ERROR as ERROR_TYPE
from device_sdk_simulators.packages.tamp.outstanding import RETURN, open_messages

_CMS = "application/cms"


class TampDesk:
    """Answers for every site.

    Args:
        packages: the desk of all packages.
        shared: memory, policy and clock of the server.
    """

    def __init__(self, packages: PackageDesk, shared: Surroundings) -> None:
        self._packages, self._shared = packages, shared
        self.book = packages.tamp

    def answer(self, request: Request, route: Route) -> Response:
        """A message as it was published (T-02), or what a device says of one (TR-03)."""
        if (request.method == "POST") is not (route.item == RETURN):
            raise HttpError(405, "wrong method", [("Allow", "POST" if route.item == RETURN else "GET")])
        client = self._packages.known(request, route)
        return self._take(request, client) if route.item == RETURN else self._give(client, route)

    def _give(self, client: Client, route: Route) -> Response:
        package = self._chosen(client, route)
        sent = self._packages.shelf.noting(client, package.place, self._shared.clock)
        # AMB-05: the appendix of RFC 8295 shows another type than its section 7.1.2
        media_type = _CMS if self._shared.policy.tamp_as_cms else package.media_type
        facts: dict[str, object] = {"identity": client.identity, "authentication": client.authentication}
        return Response(200, [("Content-Type", media_type)], package.content, facts=facts, sent=sent)

    def _chosen(self, client: Client, route: Route) -> Package:
        """What is asked for by name, or else the first that the client said nothing of: numbers only grow (T-07)."""
        if route.item:
            return self._packages.package(OPERATION, client, route)
        published = self._packages.published(OPERATION, client, route)
        found = open_messages(client, published, self.book)
        if not found:
            raise HttpError(404, "nothing of this kind is here for this client")
        return found[0]

    def _take(self, request: Request, client: Client) -> Response:
        try:
            reading = read_answer(request.body)
        except BadAnswerError as error:
            raise HttpError(400, f"not an answer of a trust anchor store: {error}") from error
        _check_media_type(request, reading)
        self._check_signature(reading, client)
        own = addresses_of(client)[1:2]
        if not own:
            raise HttpError(403, "answers come from devices this server knows")
        sent = self._about(reading, own[0])
        if reading.word == "confirm" and len(reading.statuses) != sent.updates:
            raise HttpError(400, f"{len(reading.statuses)} statuses for {sent.updates} updates (RFC 5934 section 4.4)")
        answer = Answer(reading.word, reading.statuses, reading.holds, reading.digest, request.body)
        self.book.note_answer(sent, own[0], answer, self._shared.clock())
        return Response(
            204,
            facts={
                "identity": client.identity,
                "tamp": sent.item,
                "answer": reading.word,
                "statuses": reading.statuses,
            },
        )

    def _check_signature(self, reading: Reading, client: Client) -> None:
        """TR-03: by a key of this device, that has a certificate of this CA or of its maker; HttpError 403 if not."""
        if reading.signed is None or reading.signed.signer is None:
            if self._shared.policy.tamp_unsigned:
                return
            raise HttpError(403, "answers have to be signed")
        if not is_signed_by(reading.signed, certificates_of(client, self._shared.database)):
            raise HttpError(403, "not signed by a key of this client")

    def _about(self, reading: Reading, address: str) -> Sent:
        """The message that was answered: one that this client was sent; HttpError 404 if there is none (TR-04)."""
        found = [one for one in self.book.sent_to(address) if one.content_type == reading.about]
        if reading.reference is not None:
            found = [one for one in found if one.reference == reading.reference]
        if not found:
            raise HttpError(404, "this client was sent no such message")
        answered = self.book.answered(address)
        # without a reference, or with the number 0 of contingency keys, it is the one that waits
        return next((one for one in found if one.item not in answered), found[-1])


def _check_media_type(request: Request, reading: Reading) -> None:
    expected = ERROR_MEDIA if reading.content_type == ERROR_TYPE else BY_ANSWER[reading.content_type].answer_media
    said = (request.header("Content-Type") or "").partition(";")[0].strip().lower()
    if said not in (expected, _CMS):
        raise HttpError(415, f"what is in it is {expected}")
