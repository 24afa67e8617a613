"""Generated keys in the forms of RFC 8295 section 8.1, made as the reference server makes them, right and wrong."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from device_sdk_simulators.est.multipart import multipart
from device_sdk_simulators.est.server_key_package import asymmetric_package
from device_sdk_simulators.packages import layers
from pyasn1_alt_modules import rfc5958

from tests.est.answers import csr_of
from tests.est.pki import Ca, certs_only, new_key
from tests.est.scripted_server import Handler, Reply, Seen, http
from tests.packages.sealing import Sealer

AKP = str(rfc5958.id_ct_KP_aKeyPackage)
FORMS = ("signed", "ekp", "signed-ekp")


class Generator(Sealer):
    """A maker of packages with a generated key, for a device whose key opens them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.key: ec.EllipticCurvePrivateKey = new_key()

    def package(self, *keys: ec.EllipticCurvePrivateKey, certificate: x509.Certificate | None = None) -> bytes:
        return asymmetric_package(*(keys or (self.key,)), certificate=certificate)

    def content(self, package: bytes | None = None) -> layers.Content:
        return AKP, self.package() if package is None else package

    def ekp(self, content: layers.Content, cipher: layers.ContentCipher = "cbc") -> layers.Content:
        return layers.encrypted_key_package(self.enveloped(content, cipher))

    def pack(
        self, form: str, package: bytes | None = None, *, cipher: layers.ContentCipher = "cbc", **options
    ) -> bytes:
        """ContentInfo; `options` are those of Sealer.by, and the receipt request is in the inner signature."""
        request = options.pop("request", None)
        content = self.signed(self.content(package), request=request, **options)
        content = self.enveloped(content, cipher) if form == "signed" else self.ekp(content, cipher)
        if form.startswith("signed"):
            content = self.signed(content, **options)
        return layers.content_info(content)


def in_parts(ca: Ca, key: ec.EllipticCurvePrivateKey, message: bytes, media_type: str = "application/cms") -> Handler:
    """Answers with the message beside a certificate for the key."""

    def handle(seen: Seen) -> Reply:
        certificate = ca.certify(x509.load_der_x509_csr(csr_of(seen)).subject, key.public_key())
        media, body = multipart((media_type, message), ("application/pkcs7-mime", certs_only(certificate)))
        return http(200, body, ("Content-Type", media))

    return handle


def alone(message: bytes, media_type: str = "application/cms") -> Handler:
    """Answers with the message and nothing else."""
    return lambda _: http(200, message, ("Content-Type", media_type))
