"""Random input: an answer of ours or nothing, never a foreign exception, never long."""

from __future__ import annotations

import contextlib
import random

import pytest

from device_sdk.errors import DeviceSdkError
from device_sdk.model.http import ConnectionFacts, HttpResponse
from device_sdk.protocols.est.challenge import parse_challenges
from device_sdk.protocols.est.media import parse_media_type
from device_sdk.protocols.est.responses import read_cacerts, read_csrattrs, read_enrolment
from device_sdk.protocols.est.retry_after import parse_retry_after
from device_sdk.protocols.est.urls import parse_est_url
from tests.est.pki import NOW, Ca, certs_only, one_line
from tests.processor import require_at_most

FACTS = ConnectionFacts("TLSv1.3", "TLS_AES_128_GCM_SHA256")
HEADER_ALPHABET = 'Basic Digest=",\\;:/ \t\x00\x7fü%[]@#?.0123456789GMT-+'


@pytest.fixture
def noise():
    return random.Random(7030)  # noqa: S311  # repeatable, not secret


def text(noise: random.Random) -> str:
    return "".join(noise.choices(HEADER_ALPHABET, k=noise.randrange(80)))


def test_header_values(noise):
    for _ in range(3000):
        value = text(noise)
        parse_challenges([value])
        parse_media_type(value)
        assert 0 <= parse_retry_after(value, NOW) <= 86400


def test_urls(noise):
    for _ in range(3000):
        with contextlib.suppress(DeviceSdkError):
            parse_est_url("https://h/" + text(noise), text(noise))


def test_spoilt_answers(noise):
    whole = certs_only(Ca.root().certificate)
    for number in range(1500):
        body = bytearray(whole)
        for _ in range(noise.randrange(1, 6)):
            body[noise.randrange(len(body))] = noise.randrange(256)
        media = noise.choice(["application/pkcs7-mime", "application/csrattrs", "text/html", "application/json"])
        status = noise.choice([200, 200, 200, 202, 400, 401, 503])
        headers = (("Content-Type", media), ("WWW-Authenticate", "x"), ("Retry-After", "y"))
        answer = HttpResponse(status, headers, one_line(body) if number % 2 else bytes(body), "https://h/x", FACTS)
        for read in (read_cacerts, read_csrattrs, read_enrolment):
            with contextlib.suppress(DeviceSdkError):
                read(answer, NOW)


@pytest.mark.parametrize(
    "value",
    ['Basic a="' + "\\" * 4000, "Basic " + "a=b," * 1000, "a " * 2000, 'a="' * 1300, "=" * 4000, "a=" * 2000 + '"'],
)
def test_challenges_take_linear_time(value):
    require_at_most(0.5, lambda: parse_challenges([value]))


@pytest.mark.parametrize("unit", [b"<", b"<!", b"<a ", b"<!--", b"&", b"</", b"<script>", b"<![", b"<a href='"])
def test_html_takes_bounded_time(unit):
    body = b"<html>" + unit * (10 * 1024 * 1024 // len(unit))
    answer = HttpResponse(500, (("Content-Type", "text/html"),), body[: 1024 * 1024], "https://h/x", FACTS)

    def read() -> None:
        with pytest.raises(DeviceSdkError):
            read_cacerts(answer, NOW)

    require_at_most(1, read)
