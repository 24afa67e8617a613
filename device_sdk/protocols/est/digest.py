"""HTTP Digest authentication, the client's side (RFC 7616; EST-83, EST-86, EST-87)."""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass
from urllib.parse import quote

from cryptography.hazmat.primitives import hashes

from device_sdk.model.credentials import Credentials
from device_sdk.protocols.est.challenge import Challenge, parse_parameters

_MAX_VALUE_CHARS = 1024
_MAX_COUNT = 0xFFFFFFFF
_QOP = re.compile(r"[ \t]*,[ \t]*")
# Strongest first. A SHA-1 or an algorithm nobody knows is not answered.
_ALGORITHMS: dict[str, type[hashes.SHA512_256 | hashes.SHA256 | hashes.MD5]] = {
    "sha-512-256": hashes.SHA512_256,
    "sha-256": hashes.SHA256,
    "md5": hashes.MD5,
}
_RANKS = tuple(reversed(_ALGORITHMS))


class BadProofError(Exception):
    """Authentication-Info is not what a server that knows the password sends (never leaves `protocols`)."""


@dataclass(frozen=True)
class DigestChallenge:
    """A challenge that can be answered; texts are as received, one character a byte.

    Attributes:
        realm: hashed with the password; shown to nobody.
        nonce: the server's.
        algorithm: in the server's spelling, to be sent back; None where it named none, which means MD5.
        opaque: to be sent back.
        userhash: the user name is sent as a hash.
        stale: only the nonce of the last answer was refused, not the password.
    """

    realm: str
    nonce: str
    algorithm: str | None = None
    opaque: str | None = None
    userhash: bool = False
    stale: bool = False

    @classmethod
    def read(cls, challenge: Challenge) -> DigestChallenge | None:
        """The challenge, or None if it is of another scheme or one that is not answered.

        Not answered are: no qop with "auth" in it (RFC 2069's form has no defence against chosen nonces, and "auth-int"
        covers a body that may have to be made again), an unknown algorithm, repeated parameters, control characters,
        values of more than 1024 characters. `domain` is not looked at: nothing is sent to another origin.
        """
        given = challenge.parameters
        if challenge.scheme.lower() != "digest" or challenge.repeated or not {"realm", "nonce"} <= given.keys():
            return None
        texts = [given[name] for name in ("realm", "nonce", "opaque") if name in given]
        if not given["nonce"] or not all(_is_sendable(text) for text in texts):
            return None
        algorithm = given.get("algorithm")
        if _base(algorithm) not in _ALGORITHMS or "auth" not in _QOP.split(given.get("qop", "").strip().lower()):
            return None
        return cls(
            realm=given["realm"],
            nonce=given["nonce"],
            algorithm=algorithm,
            opaque=given.get("opaque"),
            userhash=given.get("userhash", "").lower() == "true",
            stale=given.get("stale", "").lower() == "true",
        )

    @property
    def strength(self) -> int:
        """The larger, the better the hash; at least 1."""
        return _RANKS.index(_base(self.algorithm)) + 1

    @property
    def session(self) -> bool:
        """Whether this is a "-sess" variant."""
        return (self.algorithm or "").lower().endswith("-sess")

    def hash(self, text: bytes) -> str:
        """H() of RFC 7616: the hash in lower-case hex."""
        digest = hashes.Hash(_ALGORITHMS[_base(self.algorithm)]())
        digest.update(text)
        return digest.finalize().hex()


class DigestSession:
    """An authentication session (RFC 7616 section 3.6): one challenge, and all requests until the next one.

    Args:
        challenge: what the server said.
        cnonce: ours; random unless a test needs the one of an example.
    """

    def __init__(self, challenge: DigestChallenge, cnonce: str | None = None) -> None:
        self.challenge = challenge
        self._nonce = challenge.nonce
        # the same for the whole session: "-sess" hashes the one of its first request
        self._cnonce = cnonce or secrets.token_urlsafe(24)
        self._count = 0

    @property
    def nonce(self) -> str:
        """The nonce the next answer is for."""
        return self._nonce

    def authorization(self, credentials: Credentials, method: str, target: str) -> str:
        """The Authorization value for one request; counts it.

        Args:
            credentials: user name and password; both are hashed as UTF-8 (RFC 7616 section 4).
            method: as it is sent.
            target: the request target, byte for byte as it is sent (EST-86).
        """
        if self._count >= _MAX_COUNT:
            raise OverflowError("the nonce count is used up")
        self._count += 1
        challenge = self.challenge
        fields = [
            _user_field(challenge, credentials.user),
            f"realm={_quoted(challenge.realm)}",
            f"nonce={_quoted(self._nonce)}",
            f"uri={_quoted(target)}",
            f'response="{self._response(credentials, f"{method}:{target}")}"',
        ]
        if challenge.algorithm is not None:
            fields.append(f"algorithm={challenge.algorithm}")
        if challenge.opaque is not None:
            fields.append(f"opaque={_quoted(challenge.opaque)}")
        # RFC 7616 section 3.4: qop and nc without quotes, whatever RFC 7030 A.3 shows (EST-87)
        fields += [f'cnonce="{self._cnonce}"', f"nc={self._count:08x}", "qop=auth"]
        if challenge.userhash:
            fields.append("userhash=true")
        return "Digest " + ", ".join(fields)

    def confirm(self, credentials: Credentials, target: str, info: str) -> None:
        """Check what the server says of the last request, and take over its next nonce (RFC 7616 section 3.5).

        Args:
            credentials: those of the request.
            target: of the request.
            info: value of Authentication-Info.

        Raises:
            BadProofError: rspauth is not made with the password, or is for another request.
        """
        given = parse_parameters(info)
        if given is None:
            raise BadProofError("its Authentication-Info says something twice")
        proof = given.get("rspauth")
        if proof is not None:
            expected = self._response(credentials, f":{target}")
            if not hmac.compare_digest(proof.lower().encode(), expected.encode()):
                raise BadProofError("its rspauth was not made with this password for this request")
            ours = {"qop": "auth", "cnonce": self._cnonce, "nc": f"{self._count:08x}"}
            if any(given.get(name, value).lower() != value.lower() for name, value in ours.items()):
                raise BadProofError("its Authentication-Info is about another request")
        following = given.get("nextnonce")
        if following and following != self._nonce and _is_sendable(following):
            self._nonce, self._count = following, 0

    def _response(self, credentials: Credentials, a2: str) -> str:
        challenge = self.challenge
        secret = b":".join((credentials.user.encode(), _bytes(challenge.realm), credentials.password.reveal()))
        ha1 = challenge.hash(secret)
        if challenge.session:
            ha1 = challenge.hash(f"{ha1}:".encode() + _bytes(challenge.nonce) + f":{self._cnonce}".encode())
        counted = f":{self._count:08x}:{self._cnonce}:auth:{challenge.hash(_bytes(a2))}"
        return challenge.hash(f"{ha1}:".encode() + _bytes(self._nonce) + counted.encode())


def _base(algorithm: str | None) -> str:
    return "md5" if algorithm is None else algorithm.lower().removesuffix("-sess")


def _is_sendable(text: str) -> bool:
    return len(text) <= _MAX_VALUE_CHARS and all(32 <= ord(char) < 256 and ord(char) != 127 for char in text)


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _user_field(challenge: DigestChallenge, user: str) -> str:
    """The name in clear, hashed (section 3.4.4), or, where it is not ASCII, in the notation of RFC 8187."""
    if challenge.userhash:
        return f'username="{challenge.hash(user.encode() + b":" + _bytes(challenge.realm))}"'
    return f"username={_quoted(user)}" if user.isascii() else f"username*=UTF-8''{quote(user, safe='')}"
