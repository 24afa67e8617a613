"""The answers that RFC 7030 appendix A and draft-ietf-pkix-est-04 print, head and body as they stand, over TLS."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from device_sdk.protocols.est.responses import read_cacerts, read_csrattrs, read_enrolment
from device_sdk.wire.certs_only import read_certs_only
from device_sdk.wire.multipart import read_multipart
from device_sdk.wire.private_key import read_private_key
from tests.transports.conftest import get
from tests.transports.servers import answering
from tests.wire.judges import VECTORS

THEN = datetime(2013, 5, 10, 12, 0, 0, tzinfo=UTC)
REQUEST_LINE = re.compile(r"(GET|POST) ")
BODY = re.compile(r"<(?P<name>[^>]+)>")


def messages(document: str) -> Iterator[tuple[str, bytes, bytes]]:
    """Every answer with a body: its body's file, its head, its body. The draft prints no status lines but one."""
    blocks = (VECTORS / document / "http-messages.txt").read_text().split("\n\n")
    for block, following in pairwise(blocks):
        lines = [line for line in block.splitlines() if line and not line.startswith("#")]
        body = BODY.match(following)
        if not lines or body is None or REQUEST_LINE.match(lines[0]):
            continue
        if not lines[0].startswith("HTTP/"):
            lines.insert(0, "HTTP/1.1 200 OK")
        content = (VECTORS / document / body["name"]).read_bytes()
        yield body["name"], "\r\n".join(lines).encode() + b"\r\n\r\n", content


ANSWERS = [
    pytest.param(*message, id=f"{document}/{message[0]}")
    for document in ("draft-04", "rfc7030")
    for message in messages(document)
]


def test_all_of_them_are_here() -> None:
    assert len(ANSWERS) == 5 + 4


@pytest.mark.parametrize(("name", "head", "body"), ANSWERS)
def test_a_printed_answer_is_read(name, head, body, serve, connect):
    """EST-13: neither `Status`, nor a missing smime-type, nor a space before `;` matters.

    RFC 7030 prints Content-Length 3219 for the 3245 bytes of A.4, which cuts nothing that counts.
    """
    length = re.search(rb"Content-Length: ([0-9]+)", head)
    response = connect(serve(answering(head + body))).send(get())
    assert response.body == body[: int(length[1]) if length else None]
    if "multipart" in name:
        key, certificate = read_multipart(response.body, response.header("Content-Type"))
        assert read_private_key(key.body).public_key() == read_certs_only(certificate.body)[0].public_key()
    elif "csrattrs" in name:
        assert read_csrattrs(response, THEN).wants_mac
    elif "cacerts" in name:
        assert len(read_cacerts(response, THEN)) == (4 if "b64" in name else 1)
    else:
        assert len(read_enrolment(response, THEN)) == 1
