"""What several fuzz targets need."""

from __future__ import annotations

import atexit
import tempfile
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from device_sdk.model.http import ConnectionFacts, HttpResponse
from device_sdk.model.keys import PrivateKey
from device_sdk.protocols.est.full_cmc import Trusted
from device_sdk.state.directory import StateDirectory

NOW = datetime(2026, 11, 1, tzinfo=UTC)
URL = "https://edge.example/resource"
LIMIT = 64 * 1024

VECTORS = Path(__file__).parents[1] / "vectors" / "cale"
CONNECTION = ConnectionFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384")


@cache
def keys() -> tuple[PrivateKey, ...]:
    """The key of the draft's appendix B.1, and an elliptic curve key that everybody knows."""
    draft = load_pem_private_key((VECTORS / "privkey.enc.pem").read_bytes(), b"password")
    return draft, ec.derive_private_key(0xFACADE, ec.SECP256R1())  # type: ignore[return-value]  # it is an RSA key


@cache
def empty_state() -> StateDirectory:
    place = tempfile.TemporaryDirectory()
    atexit.register(place.cleanup)
    return StateDirectory(Path(place.name))


@cache
def draft_ca() -> Trusted:
    certificate = x509.load_pem_x509_certificate((VECTORS / "validation-response.cert.pem").read_bytes())
    return Trusted((certificate,), (certificate,))


def answered(body: bytes, content_type: str) -> HttpResponse:
    return HttpResponse(200, (("Content-Type", content_type),), body, URL, CONNECTION)
