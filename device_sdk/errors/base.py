"""The root of all errors, and those that no part of the SDK has for itself."""

from __future__ import annotations

from typing import ClassVar, Self


class DeviceSdkError(Exception):
    """Root of all errors of the SDK.

    Attributes:
        code: stable machine-readable name of the kind of error.
        exit_code: what the command line exits with (docs/operations.md).
        hint: what the person on the bench can do about it, or None.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 255
    hint: str | None = None

    def __init__(self, message: str, *, hint: str | None = None, **facts: object) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint
        declared = self._declared()
        for name, value in facts.items():
            if name not in declared:
                raise TypeError(f"{type(self).__name__} has no fact {name!r}")
            setattr(self, name, value)

    @classmethod
    def _declared(cls) -> set[str]:
        names = {name for base in cls.__mro__ for name in getattr(base, "__annotations__", {})}
        return names - {"code", "exit_code", "hint"}

    @property
    def message(self) -> str:
        """What failed, without the hint."""
        return str(self.args[0]) if self.args else ""

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def at(self, url: str) -> Self:
        """This error, naming its endpoint if it came without."""
        if getattr(self, "url", url) is None:
            vars(self)["url"] = url
            self.args = (f"{url}: {self.message}", *self.args[1:])
        return self

    def facts(self) -> dict[str, object]:
        """The error as data: code, message, hint and every fact that is set."""
        values = {name: getattr(self, name, None) for name in sorted(self._declared())}
        return {"code": self.code, "message": self.message, "hint": self.hint} | {
            name: value for name, value in values.items() if value is not None
        }


class ConfigurationError(DeviceSdkError):
    """An option, a file or a combination of them that cannot work."""

    code = "configuration"
    exit_code = 2


class UriError(ConfigurationError):
    """A key URI that does not follow its grammar; `uri` is redacted."""

    code = "bad-uri"
    uri: str | None = None


class MissingDependencyError(ConfigurationError):
    """An optional part of the SDK is not installed; `extra` names it."""

    code = "missing-dependency"
    extra: str | None = None


class WireError(DeviceSdkError):
    """Bytes that are not what their standard says; `what` names the structure."""

    code = "malformed"
    exit_code = 7
    what: str | None = None


class EnvelopeError(WireError):
    """A CMS message that cannot be opened. One message for every reason: anything more would be an oracle."""

    code = "cannot-decrypt"
    exit_code = 10


class LocalProtocolError(DeviceSdkError):
    """The caller asked for something the protocol forbids."""

    code = "local-protocol"
    exit_code = 2


class ClockError(DeviceSdkError):
    """This machine's clock is before a time it must be after; `now` and `not_before` are RFC 3339.

    `pem` is an issued certificate with its chain that passed every check but this one: it is worth keeping. So is
    `private_key`, a `model.secret.Secret` with DER PrivateKeyInfo, where the server made the key, too; `facts` leaves it out.
    """

    code = "clock"
    exit_code = 11
    now: str | None = None
    not_before: str | None = None
    pem: str | None = None
    private_key: object = None

    def facts(self) -> dict[str, object]:
        """See DeviceSdkError.facts; without the private key."""
        return {name: value for name, value in super().facts().items() if name != "private_key"}


class NotForUsError(DeviceSdkError):
    """CALE: the answer is not for this key: revoked, unknown, or a decoy. The protocol does not let them be told apart."""

    code = "not-for-us"
    exit_code = 10
    url: str | None = None
