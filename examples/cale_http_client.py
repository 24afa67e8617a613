"""CALE from registration on with an I/O of one's own, here http.client: the SDK says what to send and what came back.

usage: python examples/cale_http_client.py KEY_URI EDGE_URL ANCHORS_FILE USER PASSWORD_FILE PATH...

Whoever carries these requests follows no redirect, bounds what is read, and sends them over TLS to this origin only.
"""

from __future__ import annotations

import base64
import http.client
import json
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509

import device_sdk

LIMIT = 1024 * 1024


def main(key_uri: str, edge_url: str, anchors_file: str, user: str, password_file: str, *paths: str) -> None:
    trust = device_sdk.ServerTrust(tuple(x509.load_pem_x509_certificates(Path(anchors_file).read_bytes())))
    server, tls = urlsplit(edge_url), device_sdk.client_ssl_context(trust)
    connection = http.client.HTTPSConnection(str(server.hostname), server.port, context=tls, timeout=30)

    def ask(request: Any) -> tuple[int, list[tuple[str, str]], bytes]:
        connection.request(request.method, request.target, request.body, dict(request.headers))
        answer = connection.getresponse()
        content = answer.read(LIMIT + 1)
        if len(content) > LIMIT:
            raise ValueError("too large")
        return answer.status, answer.getheaders(), content

    with device_sdk.create_key(key_uri, "ec-p256") as key:
        # a request is data: method, target, headers and body, for any HTTP client
        spec = device_sdk.CsrSpec(device_sdk.parse_dn("CN=reader-1"))
        # the request says what this program reads; without it answers are as in the draft, which names no media type
        csr = device_sdk.build_csr(device_sdk.negotiating_spec(spec, key), key)
        login = f"{user}:{Path(password_file).read_text().strip()}"
        proof = "Basic " + base64.b64encode(login.encode()).decode()
        request = device_sdk.registration_request(csr, proof)
        answer = ask(request)
        with in_slot(answer):
            guid = device_sdk.open_registration(*answer, key, edge_url + request.target)
        # guid, key URI and policy are what a program keeps; whoami proves that the registration is for our key
        exchange = device_sdk.CaleExchange(key, guid, edge_url, policy=device_sdk.agreed_policy(answer[2]))
        answer = ask(exchange.request("/whoami"))
        with in_slot(answer):
            exchange.open_whoami(*answer)
        for path in paths:
            try:
                answer = ask(exchange.request(path))
                with in_slot(answer):
                    found = exchange.open_document(*answer, path=path, check=json.loads)
                print(dict(found.headers).get("content-type"), json.loads(found.content))
            except device_sdk.BehindEdgeError as error:
                print(f"{path}: {error.status_code}")
            except device_sdk.NotForUsError:
                # revoked, unknown, or no real answer: the protocol does not say, and asking again says nothing
                print(f"{path}: nothing for us")


def in_slot(answer: tuple[int, list[tuple[str, str]], bytes]) -> AbstractContextManager[None]:
    """A failure takes the same time, whatever was wrong."""
    return device_sdk.FAILURE_SLOTS.one(len(answer[2]))


if __name__ == "__main__":
    if len(sys.argv) < 7:
        sys.exit(__doc__)
    main(*sys.argv[1:])
