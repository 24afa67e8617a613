"""Requests made by hand for the reference server."""

from __future__ import annotations

import base64
import http.client
import ssl
from contextlib import closing
from dataclasses import replace

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7
from device_sdk_simulators.http.messages import Request, Response, TlsFacts
from device_sdk_simulators.server import ReferenceServer

EST = "/.well-known/est/"
PKCS10 = ("Content-Type", "application/pkcs10")
MADE_UP = TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384")
"""A connection for requests without sockets."""


def name(text: str = "dev-1") -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def make_csr(key=None, subject=None, *, extensions=(), attributes=(), digest=None) -> bytes:
    """DER of a CSR."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(name() if subject is None else subject)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    for oid, value, tag in attributes:
        builder = builder.add_attribute(x509.ObjectIdentifier(oid), value, _tag=tag)
    csr = builder.sign(key or ec.generate_private_key(ec.SECP256R1()), digest or hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.DER)


def basic(server: ReferenceServer) -> tuple[str, str]:
    return "Authorization", "Basic " + base64.b64encode(f"{server.user}:{server.password}".encode()).decode()


def certificates_in(response: Response) -> list[x509.Certificate]:
    return pkcs7.load_der_pkcs7_certificates(base64.b64decode(response.body))


def post(
    server: ReferenceServer, csr: bytes, *, operation="simpleenroll", client=None, headers=None, tls=None
) -> Response:
    """POST on a TLS connection of its own, authenticated by password unless other headers are given.

    Without sockets where a client certificate without its key is to have been shown, or a connection is made up by `tls`.
    """
    if headers is None:
        headers = [PKCS10] if client else [PKCS10, basic(server)]
    body = base64.b64encode(csr)
    if client is None and tls is None:
        return post_over_tls(server, body, operation, headers)
    tls = tls or MADE_UP
    tls = replace(tls, client_chain=(client,)) if client else tls
    return server.handle(Request("POST", EST + operation, headers, body, tls))


def post_over_tls(server: ReferenceServer, body: bytes, operation: str, headers, **shown) -> Response:
    """POST these bytes; `shown` are certificate, key and maximum, see client_context."""
    connection = http.client.HTTPSConnection(
        "localhost", server.port, context=client_context(server, **shown), timeout=20
    )
    with closing(connection):
        connection.putrequest("POST", EST + operation, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        said = [(name, value) for name, value in answer.getheaders() if name not in ("Date", "Content-Length")]
        return Response(answer.status, said, answer.read())


def client_context(server, *, certificate=None, key=None, maximum=None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(server.ca_file))
    # Debian's Python takes a connection that breaks for one that ended; these tests tell them apart
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    if maximum == "1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if certificate:
        context.load_cert_chain(certificate, key)
    return context
