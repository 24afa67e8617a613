"""The attributes a new key pair is made with: final at creation, because nothing is ever changed afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pkcs11.constants import DEFAULT, Attribute, MechanismFlag
from pkcs11.mechanisms import KeyType as CkKeyType

from device_sdk.keystores.pkcs11 import codes
from device_sdk.keystores.pkcs11.codes import CkError, calling
from device_sdk.keystores.pkcs11.public import EC_PARAMS
from device_sdk.model.keys import KeyType

_PRIVATE = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False, Attribute.PRIVATE: True}


@dataclass(frozen=True)
class _Wish:
    """What is asked for beyond the necessary: attributes of both halves, of the private one, and a no to other uses."""

    both: tuple[Attribute, ...] = ()
    private: tuple[Attribute, ...] = ()
    say_no: bool = False


# Not all modules know these attributes; the first combination that the module takes is used.
_WISHES = (
    _Wish((Attribute.MODIFIABLE,), (Attribute.COPYABLE,), say_no=True),
    _Wish((Attribute.MODIFIABLE,)),
    _Wish(),
)
REFUSED_TEMPLATE = frozenset(
    {
        codes.ATTRIBUTE_TYPE_INVALID,
        codes.ATTRIBUTE_VALUE_INVALID,
        codes.TEMPLATE_INCONSISTENT,
        codes.ATTRIBUTE_READ_ONLY,
    }
)
"""What modules answer to a template with an attribute they do not take."""


def generate_pair(
    session: Any, key_type: KeyType, *, label: str | None, key_id: bytes | None, token: bool
) -> tuple[Any, Any]:
    """Generate a key pair that cannot leave the token.

    Args:
        session: python-pkcs11's session, writable for token objects.
        key_type: what to make.
        label: CKA_LABEL of both halves.
        key_id: CKA_ID of both halves.
        token: on the token; otherwise gone with the session.

    Returns:
        python-pkcs11's public and private key objects.

    Raises:
        CkError: the module cannot make it.
    """
    for wish in _WISHES:
        try:
            return _generate(session, key_type, {"label": label, "id": key_id, "store": token}, wish)
        except CkError as error:
            if error.code not in REFUSED_TEMPLATE or wish is _WISHES[-1]:
                raise
    raise AssertionError("unreachable")


def _generate(session: Any, key_type: KeyType, names: dict[str, object], wish: _Wish) -> tuple[Any, Any]:
    # python-pkcs11 sends every use a key does not have as false; DEFAULT leaves it out.
    no = False if wish.say_no else DEFAULT
    public: dict[Attribute, object] = {Attribute.PRIVATE: False, Attribute.WRAP: no}
    private: dict[Attribute, object] = {**_PRIVATE, Attribute.UNWRAP: no}
    public |= dict.fromkeys(wish.both, False)
    private |= dict.fromkeys((*wish.both, *wish.private), False)
    templates = {"public_template": public, "private_template": private}
    with calling(f"generate {key_type.value}"):
        if key_type.is_ec:
            parameters = session.create_domain_parameters(
                CkKeyType.EC, {Attribute.EC_PARAMS: EC_PARAMS[key_type.curve.name]}, local=True
            )
            # tpm2-pkcs11 makes no EC key that is told not to decrypt, although none of its EC keys does.
            public[Attribute.ENCRYPT] = private[Attribute.DECRYPT] = DEFAULT
            flags = MechanismFlag.SIGN | MechanismFlag.VERIFY | MechanismFlag.DERIVE
            return tuple(parameters.generate_keypair(**names, **templates, capabilities=flags))
        private[Attribute.DERIVE] = no
        flags = MechanismFlag.SIGN | MechanismFlag.VERIFY | MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT
        return tuple(
            session.generate_keypair(CkKeyType.RSA, key_type.key_bits, **names, **templates, capabilities=flags)
        )
