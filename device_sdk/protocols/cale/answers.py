"""Reading the answers of an edge device.

An answer that does not open, one that is no message at all, and one that opens to something else than was asked for
are the same: not for us (CALE-09, CALE-10). The client does not ask again and tells the server nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from device_sdk.errors import NotForUsError, WireError
from device_sdk.model.decryption import EVERYTHING, DecryptionPolicy
from device_sdk.model.http import HttpResponse
from device_sdk.model.keys import PrivateKey
from device_sdk.protocols.cale.behind import behind_edge
from device_sdk.protocols.cale.documents import CONTENT_TYPES, Document, read_document
from device_sdk.protocols.cale.refusals import refused
from device_sdk.wire.cale import parse_certificate, parse_guid
from device_sdk.wire.cms.envelope import judge_envelope
from device_sdk.wire.cms.oids import DATA

ContentCheck: TypeAlias = Callable[[bytes], object]
"""Looks at a plaintext, and raises whatever it likes for another one than was asked for: json.loads will do.

No exception of it is ever seen. It may quote the plaintext, and who can tell one from another has a padding oracle. It is
to do nothing but look: with AES-CBC it is also given what a bad padding leaves, as its time would tell that apart, and what
it says of that does not count.
"""

Result = TypeVar("Result")


def read_registration(response: HttpResponse, key: PrivateKey, policy: DecryptionPolicy = EVERYTHING) -> str:
    """The GUID that a registration was given (CALE-03).

    Args:
        response: the answer.
        key: the key that was registered.
        policy: the algorithms that are accepted.

    Raises:
        NotForUsError: the answer holds no GUID that this key can read.
        AuthenticationRequiredError, HttpStatusError, RedirectRefusedError: the edge device refused.
    """
    if response.status_code not in (200, 201):
        refused(response)
    return open_answer(response.body, key, response.url, parse_guid, policy=policy)


def read_resource(
    response: HttpResponse,
    key: PrivateKey,
    check: ContentCheck | None = None,
    policy: DecryptionPolicy = EVERYTHING,
    *,
    encrypted_errors: bool = True,
) -> Document:
    """A resource (CALE-05).

    Args:
        response: the answer.
        key: the registered key.
        check: says whether the plaintext is what was asked for (CALE-09).
        policy: the algorithms that are accepted.
        encrypted_errors: whether a plaintext that says `{"error": 502}` is an error; see `error_status`.

    Raises:
        NotForUsError: decoy, revoked, unknown, altered, or refused by `check`.
        BehindEdgeError: it opened to an error of a server behind the edge device.
        HttpStatusError, RedirectRefusedError: the edge device refused.
    """
    if response.status_code != 200:
        refused(response)

    def parse(document: Document) -> Document:
        if check is not None and not document.is_error:
            check(document.content)
        return document

    found = open_document(response.body, key, response.url, parse, encrypted_errors=encrypted_errors, policy=policy)
    if found.is_error:
        raise behind_edge(found.status, response.url, dict(found.headers).get("location"))
    return found


def read_whoami(response: HttpResponse, key: PrivateKey, policy: DecryptionPolicy = EVERYTHING) -> x509.Certificate:
    """The certificate that the authorization server makes for this registration; it is for our own key (CALE-09).

    Raises:
        NotForUsError, HttpStatusError, RedirectRefusedError: as read_resource.
    """
    if response.status_code != 200:
        refused(response)

    return open_answer(
        response.body, key, response.url, lambda plaintext: own_certificate(plaintext, key), policy=policy
    )


def own_certificate(plaintext: bytes, key: PrivateKey) -> x509.Certificate:
    """The certificate in a decrypted answer to /whoami; WireError if there is none for our key (CALE-09)."""
    certificate = parse_certificate(plaintext)
    if spki(certificate.public_key()) != spki(key.public_key()):
        raise WireError("a certificate for another key")
    return certificate


def open_answer(
    body: bytes,
    keys: PrivateKey | Sequence[PrivateKey],
    url: str,
    parse: Callable[[bytes], Result],
    *,
    limit_bytes: int | None = None,
    policy: DecryptionPolicy = EVERYTHING,
) -> Result:
    """Decrypt a body and read it; one error for everything that can be wrong with it.

    Args:
        body: the answer's body.
        keys: what may open it.
        url: where it came from, for the error.
        parse: reads the plaintext; whatever it raises means "not for us". Must not return None.
        limit_bytes: the largest body looked at; None if it has been bounded already.
        policy: the algorithms that are accepted.

    Raises:
        NotForUsError: it is not for us.
        KeyStoreError: the key could not be used.
    """
    limit = len(body) if limit_bytes is None else limit_bytes
    result = _read(body, keys, (DATA,), lambda _type, plaintext: parse(plaintext), limit, policy)
    # raised here so that no cause hangs on it
    if result is None:
        raise not_for_us(url)
    return result


def open_document(
    body: bytes,
    keys: PrivateKey | Sequence[PrivateKey],
    url: str,
    parse: Callable[[Document], Result],
    *,
    encrypted_errors: bool = True,
    policy: DecryptionPolicy = EVERYTHING,
) -> Result:
    """The same for a resource, which may be a whole response.

    Args:
        body: the answer's body, bounded already.
        keys: what may open it.
        url: where it came from, for the error.
        parse: reads the document; whatever it raises means "not for us". Must not return None.
        encrypted_errors: see `read_document`.
        policy: the algorithms that are accepted.

    Raises:
        NotForUsError: it is not for us.
        KeyStoreError: the key could not be used.
    """

    def read(content_type: str, plaintext: bytes) -> Result:
        return parse(read_document(content_type, plaintext, encrypted_errors=encrypted_errors))

    result = _read(body, keys, CONTENT_TYPES, read, len(body), policy)
    if result is None:
        raise not_for_us(url)
    return result


def _read(
    body: bytes,
    keys: PrivateKey | Sequence[PrivateKey],
    content_types: Sequence[str],
    parse: Callable[[str, bytes], Result],
    limit_bytes: int,
    policy: DecryptionPolicy,
) -> Result | None:
    """What `parse` makes of the plaintext; None if there is none, or if it raised."""
    return judge_envelope(body, keys, parse, limit_bytes=limit_bytes, content_types=content_types, policy=policy)


def read_plaintext(plaintext: bytes, url: str, parse: Callable[[bytes], Result]) -> Result:
    """What was decrypted elsewhere, read as `open_answer` does; NotForUsError for anything else than was asked for."""
    result: Result | None
    try:
        result = parse(plaintext)
    except Exception:  # noqa: BLE001  # as `_read`
        result = None
    del plaintext  # a traceback keeps the variables of its frames, and crash reporters send them
    if result is None:
        raise not_for_us(url)
    return result


def policy_hint(policy: DecryptionPolicy, told: Iterable[str] | None) -> str | None:
    """What to say beside `not_for_us` if the policy itself may be the reason; it depends on nothing that was received.

    Args:
        policy: the algorithms that are accepted.
        told: what the server may use, as it was told at registration; None if that is not known.
    """
    if told is None or policy.allows(*told):
        return None
    return (
        "perhaps it uses what this policy refuses and the registration allowed: register again with this policy, "
        "or take the policy of the registration"
    )


def not_for_us(url: str) -> NotForUsError:
    """The one error for whatever may be wrong with an answer (CALE-10), to be raised where nothing else is under way."""
    return NotForUsError(
        f"{url}: the answer is not for this key: the registration is revoked or unknown, or the answer is no real one",
        hint="register again if this lasts",
        url=url,
    )


def spki(public_key: object) -> bytes:
    """DER of a key's SubjectPublicKeyInfo; WireError for what is no key."""
    if not hasattr(public_key, "public_bytes"):
        raise WireError("a key of an unknown kind")
    encoded: bytes = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded
