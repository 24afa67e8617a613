"""CALE without requests: asyncio carries, the SDK says what to send and what came back.

usage: python examples/cale_asyncio.py STATE_DIR ANCHORS_FILE PATH...

With httpx it is the same three lines, and `opened` as below:
    exchange = device_sdk.CaleExchange(key, guid, origin)
    answer = await client.get(exchange.url(path), headers=exchange.headers)
    document = await asyncio.to_thread(opened, exchange, answer.status_code, answer.headers.items(), answer.content, path)
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509

import device_sdk

LIMIT = 1024 * 1024


async def get(exchange: device_sdk.CaleExchange, tls: ssl.SSLContext, path: str) -> object:
    request, server = exchange.request(path), urlsplit(exchange.origin)
    reader, writer = await asyncio.open_connection(server.hostname, server.port or 443, ssl=tls, limit=LIMIT)
    lines = [f"{request.method} {request.target} HTTP/1.1", f"Host: {server.netloc}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in request.headers]
    writer.write("\r\n".join((*lines, "", "")).encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status, *fields = head.rstrip().split("\r\n")
    headers = [(name, value.strip()) for name, _, value in (field.partition(":") for field in fields)]
    length = int(dict(headers)["Content-Length"])
    if length > LIMIT:
        raise ValueError("too large")
    body = await reader.readexactly(length)
    writer.close()
    # the key may be in a token or TPM: its operation takes milliseconds, and not in the event loop
    return await asyncio.to_thread(opened, exchange, int(status.split()[1]), headers, body, path)


def opened(
    exchange: device_sdk.CaleExchange, status: int, headers: list[tuple[str, str]], body: bytes, path: str
) -> object:
    with device_sdk.FAILURE_SLOTS.one(len(body)):  # a failure takes the same time, whatever was wrong
        return json.loads(exchange.open(status, headers, body, path=path, check=json.loads))


async def main(state: str, anchors_file: str, *paths: str) -> None:
    application = device_sdk.CaleApplication(state)
    registration = application.registration
    trust = device_sdk.ServerTrust(tuple(x509.load_pem_x509_certificates(Path(anchors_file).read_bytes())))
    tls = device_sdk.client_ssl_context(trust)
    with application.open_key(registration) as key:
        # what was agreed on at registration is kept: an answer in AES-GCM cannot be sent again as one in AES-CBC
        told = registration.algorithms
        exchange = device_sdk.CaleExchange(key, registration.guid, registration.origin, told=told)
        for answer in await asyncio.gather(*(get(exchange, tls, path) for path in paths)):
            print(answer)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    asyncio.run(main(*sys.argv[1:]))
