"""What a /csrattrs answer says about the key and the signature: made one wish, held against policy and against a key."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from device_sdk.errors import CsrAttributesError
from device_sdk.model.keys import KeyType, PublicKey
from device_sdk.wire.csrattrs_oids import curve_name

MIN_RSA_BITS = 2048
MIN_EC_BITS = 256
HASHES = ("sha256", "sha384", "sha512")


@dataclass(frozen=True)
class KeyWish:
    """A kind of key the server asks for.

    Attributes:
        family: "ec", "rsa", or the name of another algorithm ("Ed25519").
        curve: the curve's dotted OID; None for any.
        bits: RSA modulus length; None for any.
    """

    family: str
    curve: str | None = None
    bits: int | None = None

    def __str__(self) -> str:
        if self.curve is not None:
            return f"an EC key on {curve_name(self.curve) or self.curve}"
        if self.bits is not None:
            return f"an RSA key of {self.bits} bits"
        return f"{'an' if self.family in {'ec', 'rsa', 'Ed25519', 'Ed448'} else 'a'} {self.family.upper()} key"

    def refines(self, other: KeyWish) -> bool:
        """Whether this is the same wish, or a closer description of it."""
        return self.family == other.family and (other.curve, other.bits) in {(None, None), (self.curve, self.bits)}


@dataclass(frozen=True)
class SignatureWish:
    """How the server wants the request signed.

    Attributes:
        name: as its standard calls it ("ecdsa-with-SHA384", "sha256").
        family: "ec" or "rsa"; None if only a hash was named.
        hash_name: "sha256" ...; None if only a scheme was named.
        pss: RSASSA-PSS instead of PKCS#1 v1.5.
    """

    name: str
    family: str | None = None
    hash_name: str | None = None
    pss: bool = False


def one_key(keys: Iterable[KeyWish]) -> KeyWish | None:
    """The one wish that all of them come down to; None if there are none.

    Raises:
        CsrAttributesError: they contradict each other (EST-178), or the result is below policy (EST-179).
    """
    chosen: KeyWish | None = None
    for wish in keys:
        if chosen is None or wish.refines(chosen):
            chosen = wish
        elif not chosen.refines(wish):
            raise contradiction(str(chosen), str(wish))
    if chosen is not None and chosen.bits is not None and chosen.bits < MIN_RSA_BITS:
        raise CsrAttributesError(
            f"the server asks for {chosen}; fewer than {MIN_RSA_BITS} bits are refused", asked=(str(chosen),)
        )
    return chosen


def one_signature(signatures: Iterable[SignatureWish]) -> SignatureWish | None:
    """The same for signatures: a scheme and a bare hash add up, two schemes or two hashes do not.

    Raises:
        CsrAttributesError: as for keys; SHA-1, MD5 and SHA-224 are below policy.
    """
    wishes = list(signatures)
    if not wishes:
        return None
    chosen = reduce(_both, wishes)
    if chosen.hash_name is not None and chosen.hash_name not in HASHES:
        raise CsrAttributesError(
            f"the server asks for {chosen.name}; {chosen.hash_name} is refused", asked=(chosen.name,)
        )
    return chosen


def contradiction(one: str, other: str) -> CsrAttributesError:
    """The error that names both sides (EST-178)."""
    return CsrAttributesError(
        f"the server asks for {one} and for {other}",
        hint="the server's /csrattrs must be put right",
        asked=(one, other),
    )


def clash(what: str, theirs: str, ours: str) -> CsrAttributesError:
    """The error for a value that the server fixes and the caller gave differently; names both (EST-178)."""
    return CsrAttributesError(
        f"the server fixes {what} of the request to {theirs}, and {ours} was given",
        hint=f"leave {ours} out and the server's value is used, or change what the server's /csrattrs says",
        asked=(theirs, ours),
    )


def key_types_for(wish: KeyWish) -> tuple[KeyType, ...]:
    """Every KeyType that satisfies the wish.

    Raises:
        CsrAttributesError: none does; the message names the algorithm, curve or size.
    """
    if wish.family == "ec":
        fitting = [kind for kind in KeyType if kind.is_ec and wish.curve in {None, _curve_oid(kind)}]
    elif wish.family == "rsa":
        fitting = [kind for kind in KeyType if not kind.is_ec and wish.bits in {None, kind.key_bits}]
    else:
        fitting = []
    if not fitting:
        raise CsrAttributesError(
            f"the server asks for {wish}, which this SDK does not make",
            hint=f"it makes {', '.join(kind.value for kind in KeyType)}",
            asked=(str(wish),),
        )
    return tuple(fitting)


def require_fit(wish: KeyWish, key: PublicKey) -> None:
    """Check that a key is of the kind asked for.

    Raises:
        CsrAttributesError: it is not; the message names both sides (EST-178).
    """
    if isinstance(key, rsa.RSAPublicKey):
        fits = wish.family == "rsa" and wish.bits in {None, key.key_size}
        found = f"an RSA key of {key.key_size} bits"
    else:
        fits = wish.family == "ec" and (wish.curve is None or _is_on(key.curve, wish.curve))
        found = f"an EC key on {key.curve.name}"
    if not fits:
        raise CsrAttributesError(
            f"the server asks for {wish}, the given key is {found}",
            hint="create a key of the type asked for (device-sdk keys create --type), or have the server's /csrattrs changed",
            asked=(str(wish),),
        )


def _both(one: SignatureWish, other: SignatureWish) -> SignatureWish:
    for left, right in ((one.family, other.family), (one.hash_name, other.hash_name)):
        if left is not None and right is not None and left != right:
            raise contradiction(one.name, other.name)
    if one.family and other.family and one.pss != other.pss:
        raise contradiction(one.name, other.name)
    name = one.name if one.name == other.name else f"{one.name} with {other.name}"
    return SignatureWish(name, one.family or other.family, one.hash_name or other.hash_name, one.pss or other.pss)


def _curve_oid(kind: KeyType) -> str:
    oids: dict[str, x509.ObjectIdentifier] = {
        "secp256r1": ec.EllipticCurveOID.SECP256R1,
        "secp384r1": ec.EllipticCurveOID.SECP384R1,
        "secp521r1": ec.EllipticCurveOID.SECP521R1,
    }
    return oids[kind.curve.name].dotted_string


def _is_on(curve: ec.EllipticCurve, oid: str) -> bool:
    try:
        return ec.get_curve_for_oid(x509.ObjectIdentifier(oid))().name == curve.name
    except (LookupError, ValueError):
        return False
