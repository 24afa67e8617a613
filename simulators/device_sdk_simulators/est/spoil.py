"""Carries out the faults that concern certificates and encodings; an honest server has no such file."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from device_sdk_simulators.ca.hierarchy import Hierarchy, make_authority
from device_sdk_simulators.ca.issue import Wish, issue
from device_sdk_simulators.ca.keys import new_key
from device_sdk_simulators.est.bodies import wrap
from device_sdk_simulators.est.odd_cms import odd_certs_only
from device_sdk_simulators.faults import Faults
from device_sdk_simulators.http.messages import Headers, Response

_YEAR = timedelta(days=365)


class Spoiler:
    """Spoils what the EST server is about to do, if a fault says so."""

    def __init__(self, faults: Faults, hierarchy: Callable[[], Hierarchy], clock: Callable[[], datetime]) -> None:
        self._faults = faults
        self._current = hierarchy
        self._clock = clock

    @property
    def _hierarchy(self) -> Hierarchy:
        return self._current()

    def instead(self, operation: str) -> Response | None:
        """An answer that has nothing to do with the request, or None."""
        take = self._faults.take
        if (status := take("status", operation, "503")) is not None:
            return Response.text(int(status), "the server was told to fail")
        if take("unauthorized", operation):
            return Response(401)
        if (value := take("retry_after", operation, "1")) is not None:
            return Response.text(202, "not yet", self._retry_after(value))
        if (value := take("overload", operation, "503 1")) is not None:
            status, value = value.split(" ", 1) if value[:4] in ("429 ", "503 ") else ("503", value)
            return Response.text(int(status), "too many requests", self._retry_after(value))
        if (value := take("redirect", operation, "https://localhost:1/")) is not None:
            status, _, location = value.rpartition(" ")
            return Response.text(int(status or "307"), "elsewhere", [("Location", location)])
        if (value := take("noise", operation, str(10 * 1024 * 1024))) is not None:
            return Response(500, [("Content-Type", "text/plain")], b"noise " * (int(value) // 6))
        if take("html", operation):
            return Response(500, [("Content-Type", "text/html")], b"<html><body><h1>It broke</h1></body></html>\n")
        return None

    def _retry_after(self, value: str) -> Headers:
        """A Retry-After of one of the forms of RFC 9110 sections 5.6.7 and 10.2.3, or of none."""
        if value == "none":
            return []
        then = self._clock() + timedelta(seconds=2)
        forms = {
            "date": "%a, %d %b %Y %H:%M:%S GMT",
            "rfc850": "%A, %d-%b-%y %H:%M:%S GMT",
            "asctime": "%a %b %e %H:%M:%S %Y",
        }
        return [("Retry-After", then.strftime(forms[value]) if value in forms else value)]

    def issued(self, operation: str, certificate: x509.Certificate) -> list[x509.Certificate]:
        """The certificates to give instead of the one that was issued."""
        take = self._faults.take
        now, issuer, key = self._clock(), self._hierarchy.issuing, certificate.public_key()
        subject, begin, end = certificate.subject, certificate.not_valid_before_utc, certificate.not_valid_after_utc
        changed = False
        if take("other_key", operation):
            key, changed = new_key("ec-p256").public_key(), True
        if take("other_subject", operation):
            subject, changed = x509.Name.from_rfc4514_string("CN=somebody else"), True
        if take("other_issuer", operation):
            issuer, changed = make_authority("Unknown CA", new_key("ec-p256"), now), True
        if take("expired", operation):
            begin, end, changed = now - 2 * _YEAR, now - _YEAR, True
        if take("future", operation):
            begin, end, changed = now + _YEAR, now + 2 * _YEAR, True
        if changed:
            certificate = issue(issuer, Wish(subject, key, certificate.extensions, begin, end))
        chain = list(self._hierarchy.bag) if take("with_chain", operation) else []
        return [] if take("no_certificate", operation) else [certificate, *chain]

    def bag(self, operation: str) -> list[x509.Certificate]:
        """The certificates of /cacerts."""
        bag = list(self._hierarchy.bag)
        if self._faults.take("no_root", operation):
            bag.remove(self._hierarchy.root.certificate)
        if (value := self._faults.take("extra_roots", operation, "1")) is not None:
            names = [f"Unrelated Root {number}" for number in range(1, int(value) + 1)]
            bag += [make_authority(name, new_key("ec-p256"), self._clock()).certificate for name in names]
        return [] if self._faults.take("no_certificate", operation) else bag

    def encoding(self, operation: str, response: Response) -> Response:
        """A success in another dress."""
        if self._faults.quiet:
            return response
        take = self._faults.take
        response.headers = self._headers(operation, response)
        if operation == "serverkeygen":
            return response  # its parts are spoilt by est/spoil_server_key.py
        der = base64.b64decode(response.body)
        if operation != "csrattrs":
            der = self._cms(operation, der)
        if take("trailing", operation):
            der += b"\x05\x00trailing"
        if take("not_cms", operation):
            der = b"this is not ASN.1, whatever the label says"
        response.body = self._text(operation, der)
        if take("not_base64", operation):
            response.body = b"*" + response.body[1:]
        return response

    def _headers(self, operation: str, response: Response) -> list[tuple[str, str]]:
        headers = dict(response.headers)
        if (value := self._faults.take("media_type", operation, "text/html")) is not None:
            headers["Content-Type"] = value
        if self._faults.take("no_media_type", operation):
            del headers["Content-Type"]
        if self._faults.take("no_transfer_encoding", operation):
            del headers["Content-Transfer-Encoding"]
        return list(headers.items())

    def _cms(self, operation: str, der: bytes) -> bytes:
        unordered = self._faults.take("unordered", operation)
        empty_content = self._faults.take("empty_content", operation)
        ber = self._faults.take("ber", operation)
        if not (unordered or empty_content or ber):
            return der
        certificates = sorted(one.public_bytes(Encoding.DER) for one in pkcs7.load_der_pkcs7_certificates(der))
        if unordered:
            certificates.reverse()
        return odd_certs_only(certificates, indefinite=ber is not None, empty_content=empty_content is not None)

    def _text(self, operation: str, der: bytes) -> bytes:
        text = base64.b64encode(der)
        take = self._faults.take
        if take("empty_body", operation):
            return b""
        if take("der", operation):
            return der
        if (label := take("pem", operation, "PKCS7")) is not None:
            armour = label.encode()
            return b"-----BEGIN %s-----\n%s-----END %s-----\n" % (armour, wrap(text, 64, b"\n"), armour)
        if (value := take("wrap", operation, "64")) is not None:
            width = value.removesuffix("crlf")
            return wrap(text, int(width), b"\r\n" if value.endswith("crlf") else b"\n")
        return text if take("no_newline", operation) else text + b"\n"
