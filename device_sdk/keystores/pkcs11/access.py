"""One private key on a token: how to reach it again and again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from cryptography import exceptions
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from pkcs11.constants import Attribute, ObjectClass

from device_sdk.errors import KeyStoreError
from device_sdk.keystores.pkcs11 import codes, operations
from device_sdk.keystores.pkcs11.codes import CkError, calling
from device_sdk.keystores.pkcs11.connection import Worker
from device_sdk.keystores.pkcs11.connections import Lease
from device_sdk.keystores.pkcs11.failures import reporting
from device_sdk.keystores.pkcs11.login import PinOnce
from device_sdk.keystores.pkcs11.objects import TokenObject, search
from device_sdk.keystores.pkcs11.tokens import TokenName
from device_sdk.model.keys import PublicKey
from device_sdk.model.secret import SecretProvider
from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri

T = TypeVar("T")


@dataclass(frozen=True)
class KeyName:
    """What finds a private key in any session, where handles do not."""

    label: str
    key_id: bytes

    @classmethod
    def of(cls, found: TokenObject) -> KeyName:
        """The name of a key that was found."""
        return cls(found.label, found.key_id)

    def uri(self, token: TokenName, asked: Pkcs11Uri, module_path: str) -> Pkcs11Uri:
        """The canonical URI of this key: token, label and id; module and PIN source as in the URI that was asked for."""
        named = token.uri()
        if token.serial:
            named = replace(named, manufacturer=None, model=None)
        return replace(
            named,
            label=self.label or None,
            key_id=self.key_id or None,
            object_type="private",
            module_name=asked.module_name,
            module_path=None if asked.module_name else asked.module_path or module_path,
            pin_source=asked.pin_source,
            pin_value=asked.pin_value,
            vendor=asked.vendor,
        )


def key_object(worker: Worker, name: KeyName) -> Any:
    """python-pkcs11's object for a private key, remembered for the life of the session.

    Raises:
        CkError: OBJECT_HANDLE_INVALID if it is not there any more.
    """
    key = worker.keys.get(name)
    if key is None:
        # python-pkcs11 makes key objects only by searching, and when a search cannot even begin it ends it later, from a
        # destructor and perhaps in somebody else's session. So the loss of a session has to show itself here first.
        if len(search(worker, ObjectClass.PRIVATE_KEY, label=name.label or None, key_id=name.key_id or None)) != 1:
            raise CkError(codes.OBJECT_HANDLE_INVALID, "C_FindObjects")
        template = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.TOKEN: True}
        template |= {Attribute.LABEL: name.label} if name.label else {}
        template |= {Attribute.ID: name.key_id} if name.key_id else {}
        with calling("C_FindObjects"):
            (key,) = worker.session.get_objects(template)
        worker.keys[name] = key
    return key


class Access:
    """Reaches one private key through the process's connection to its token.

    Args:
        lease: a hold on the connection, given back by `close`.
        uri: canonical URI of the key; holds the PIN if the caller's URI did.
        provider: asked for the PIN when a login is needed and the URI names none.
        name: finds the key.
        always_authenticate: the key wants the PIN for every operation (CKA_ALWAYS_AUTHENTICATE).
    """

    def __init__(
        self,
        lease: Lease,
        uri: Pkcs11Uri,
        provider: SecretProvider | None,
        name: KeyName,
        *,
        always_authenticate: bool = False,
    ) -> None:
        self._lease: Lease | None = lease
        self.uri = uri
        self._text = str(uri)
        self._provider = provider
        self.name = name
        self._always_authenticate = always_authenticate

    def close(self) -> None:
        """Give the connection back; closing twice is not an error."""
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.close()

    def use(self, operation: Callable[[Any, str | None], T]) -> T:
        """Run an operation on python-pkcs11's key object; its second argument is the PIN for a key that wants it.

        Raises:
            CkError: what the module answered.
            KeyStoreError: the key is closed, or the token cannot be opened again.
        """
        lease = self._lease
        if lease is None:
            raise KeyStoreError(f"{self.uri}: the key is closed", uri=str(self.uri))
        pins = PinOnce(self.uri, self._provider)

        def run(worker: Worker) -> T:
            pin = pins.get(lease.connection.name.label) if self._always_authenticate else None
            return operation(key_object(worker, self.name), pin.reveal().decode() if pin is not None else None)

        return lease.connection.run(pins, run)

    def use_reporting(self, operation: Callable[[Any, str | None], T]) -> T:
        """The same with every CkError turned into an error of the SDK."""
        with reporting(self._text):
            return self.use(operation)


def verified(key: Any, public: PublicKey, pin: str | None = None) -> bool:
    """Whether a private key signs what its public half verifies.

    Raises:
        CkError: it cannot be asked.
    """
    digest = hashes.Hash(hashes.SHA256())
    digest.update(b"device-sdk key test")
    value, algorithm = digest.finalize(), hashes.SHA256()
    try:
        if isinstance(public, ec.EllipticCurvePublicKey):
            signature = encode_dss_signature(*operations.sign_ecdsa(key, value, public.curve, pin))
            public.verify(signature, value, ec.ECDSA(Prehashed(algorithm)))
        else:
            signature = operations.sign_pkcs1(key, value, algorithm, pin)
            public.verify(signature, value, padding.PKCS1v15(), Prehashed(algorithm))
    except exceptions.InvalidSignature:
        return False
    return True
