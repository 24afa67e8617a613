"""Where keys of the server's making go: one place each, and what a power cut left in one."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk.client.device.context import Context
from device_sdk.client.device.generated_keys import GeneratedKeys, held_keys, require_no_key
from device_sdk.client.device.generation import numbered
from device_sdk.client.device.sync.deliveries import GeneratedDelivery
from device_sdk.errors import KeyExistsError, UriError
from device_sdk.keystores import registry
from device_sdk.model.key_uri import KeyUri
from device_sdk.model.secret import Secret
from device_sdk.state import MAX_GENERATED
from device_sdk.state.files import PUBLIC, require_writable, write
from device_sdk.state.pem import encode

_UNFINISHED = ".unfinished"
_TEMPORARY = re.compile(r"(\.unfinished)?\.[0-9a-f]{16}\.tmp")


@dataclass(frozen=True)
class Place:
    """One of them.

    The certificates wait in a file beside theirs while the key is stored, as a power cut between the two would leave a key
    without a certificate, and the server makes another one each time it is asked.

    Attributes:
        key: URI of the key.
        certificate: file for its certificate and chain, PEM.
    """

    key: KeyUri
    certificate: Path

    @property
    def waiting(self) -> Path:
        """Where the certificates wait."""
        return self.certificate.with_name(self.certificate.name + _UNFINISHED)

    @property
    def identifier(self) -> str:
        """Of these two names, hex."""
        return hashlib.sha256(f"{self.key}\n{self.certificate}".encode()).hexdigest()

    def require_writable(self, context: Context) -> None:
        """Look before the server is asked, which makes another key each time, and has another certificate issued.

        What a token or TPM has room for shows when the key comes.

        Raises:
            StateNotWritableError: files cannot be written where they belong.
            ConfigurationError: a private key is where its certificate belongs.
            KeyStoreError: the keystore has no place for a certificate beside the key, and would not take the key.
        """
        registry.require_certificate_place(self.key)
        for path in (self.certificate, self.waiting):
            require_no_key(path)
        file = getattr(self.key, "file", None) or getattr(self.key, "path", None)
        places = (context.state.path, self.certificate.parent, *([Path(file).absolute().parent] if file else ()))
        for directory in dict.fromkeys(places):
            require_writable(directory)

    def store(self, private_key: Secret, chain: tuple[x509.Certificate, ...], context: Context) -> None:
        """The private key goes where it cannot leave any more; nothing of it is in a file, but for a place that is one.

        Raises:
            KeyStoreError: it cannot be stored; nothing is there.
            StateError: the certificates cannot; nothing is there.
        """
        write(self.waiting, encode(chain), PUBLIC)
        try:
            registry.import_key(self.key, private_key, pin=context.pin).close()
        except BaseException:
            with suppress(OSError):
                self.waiting.unlink()
            raise

    def complete(self, chain: tuple[x509.Certificate, ...], context: Context) -> None:
        """The key is there: the certificates join it, and the device knows both; StateError if they cannot be written."""
        write(self.certificate, encode(chain), PUBLIC)
        GeneratedKeys(context).keep(self.key, self.certificate, chain)
        with suppress(OSError):
            self.waiting.unlink()

    def left(self, spki_sha256: str | None) -> tuple[x509.Certificate, ...] | None:
        """The certificates for the key that is there; None if no file has them."""
        for path in (self.waiting, self.certificate):
            with suppress(ValueError, OSError):  # none, or somebody else's
                chain = tuple(x509.load_pem_x509_certificates(path.read_bytes()))
                if key_of(chain[0]) == spki_sha256:
                    return chain
        return None

    def tidy(self) -> None:
        """Take away what a power cut left under a name that nobody else uses."""
        with suppress(OSError):
            for path in self.certificate.parent.glob(f".{escape(self.certificate.name)}*.tmp"):
                if _TEMPORARY.fullmatch(path.name.removeprefix(f".{self.certificate.name}")):
                    path.unlink()


@dataclass(frozen=True)
class Found:
    """What there is.

    Attributes:
        free: the next place, or None if `finished` is there.
        finished: the certificates of the key that an interrupted run stored, leaf first; or None.
        certificate: the file with them, or None.
    """

    free: Place | None = None
    finished: tuple[x509.Certificate, ...] | None = None
    certificate: Path | None = None


@dataclass(frozen=True)
class Places:
    """All that the wishes make.

    Attributes:
        context: the device.
        wishes: they.
    """

    context: Context
    wishes: GeneratedDelivery

    def at(self, number: int) -> Place:
        """The first, second, ...: "second.pem", "second-2.pem"; ConfigurationError if there cannot be so many."""
        first = self.wishes.certificate
        file = first if number == 1 else first.with_stem(f"{first.stem}-{number}")
        return Place(numbered(self.wishes.place, number), file)

    @property
    def are_unfinished(self) -> bool:
        """Whether certificates wait in any of them."""
        return any(self.at(number).waiting.exists() for number in range(1, MAX_GENERATED + 1))

    def look(self, begun: str) -> Found:
        """The place for another key, or the key that an interrupted run stored, which is finished now.

        Args:
            begun: SHA-256 of the certificate whose key was being stored, hex; empty if none was.

        Raises:
            KeyExistsError: the first place has a key that is not the server's, or no place is free.
            ConfigurationError: the name of the place makes no further ones.
            UriError: it names a token, a TPM or a directory, and no key.
            DeviceSdkError: the keystore, or the state directory, cannot be used.
        """
        _require_key_name(self.at(1).key)
        known = {one.record.key_uri: one for one in held_keys(self.context.state)}
        for number in range(1, MAX_GENERATED + 1):
            place = self.at(number)
            place.tidy()
            there = registry.list_keys(place.key, pin=self.context.pin)
            held = known.get(str(place.key))
            if held is not None and there:
                if event_of(held.certificate) == begun:
                    place.complete(held.chain, self.context)
                    return Found(None, held.chain, place.certificate)
                continue
            if held is not None:  # its key was deleted
                GeneratedKeys(self.context).forget(held.record)
            if not there:
                if number == 1 or held is not None or not place.certificate.exists():
                    return Found(place)
                continue
            if (found := self._left(place, there[0].spki_sha256, begun)) is not None:
                return found
            if number == 1 and str(place.key) not in {one.record.key_uri for one in held_keys(self.context.state)}:
                raise KeyExistsError(
                    f"{there[0].uri}: there is a key of this name already, so none is asked of the server",
                    hint="name another place, or delete that key",
                    uri=there[0].uri,
                )
        raise KeyExistsError(
            f"{self.wishes.place}: the {MAX_GENERATED} places from there on are taken, so no key is asked of the server",
            hint="delete the keys that are not needed any more (device-sdk show, device-sdk keys delete)",
            uri=str(self.at(1).key),
        )

    def _left(self, place: Place, spki_sha256: str | None, begun: str) -> Found | None:
        """What was being stored when the power went; if it is not this offer's, or of an earlier version, it is known from now on."""
        left = place.left(spki_sha256)
        if left is None:
            return None
        place.complete(left, self.context)
        return Found(None, left, place.certificate) if event_of(left[0]) == begun else None


def _require_key_name(uri: KeyUri) -> None:
    """Before the server is asked, and before whatever is in a token is taken for a key of this name."""
    from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri
    from device_sdk.wire.key_uri.tpm2 import Tpm2Uri

    if isinstance(uri, Pkcs11Uri):
        names_one, hint = uri.names_object() and uri.object_type in (None, "private"), "add ;object=LABEL to the URI"
    elif isinstance(uri, Tpm2Uri):
        names_one, hint = uri.file is not None or uri.handle is not None, "name a file or a persistent handle"
    else:
        return
    if not names_one:
        raise UriError(f"{uri} does not name a new private key", hint=hint, uri=str(uri))


def event_of(certificate: x509.Certificate) -> str:
    """What a key that is being stored is known by, however far that came."""
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def key_of(certificate: x509.Certificate) -> str:
    """SHA-256 of its SubjectPublicKeyInfo, hex."""
    from device_sdk.protocols.est.ca_certificates import spki

    return hashlib.sha256(spki(certificate)).hexdigest()
