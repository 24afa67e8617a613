"""Secrets on their way from where they are kept to the one call that needs them."""

from __future__ import annotations

from collections.abc import Callable

from device_sdk.model.wiping import overwrite


class Secret:
    """A PIN, password or passphrase that does not show itself in a repr, a log line or a traceback.

    Args:
        value: text (encoded as UTF-8) or the bytes themselves.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str | bytes) -> None:
        self._value = value.encode() if isinstance(value, str) else bytes(value)

    def reveal(self) -> bytes:
        """The secret itself; call it as late as possible and keep no copy."""
        return self._value

    def wipe(self) -> None:
        """Overwrite it with zeros; for the only owner of the bytes it was made of."""
        overwrite(self._value)

    def __repr__(self) -> str:
        return "Secret(***)"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        raise TypeError("compare secrets with hmac.compare_digest")

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a Secret is not pickled")


class NewKey(str):
    """What a SecretProvider is asked with for a key that is being made: no key is there yet that could tell a wrong PIN."""


SecretProvider = Callable[[str], "Secret | None"]
"""Asked with a description of what is to be unlocked ("token dev-1"); None means there is no secret to give.

A `NewKey` in the place of the description is a question for the PIN of a key that is being made: whoever asks a person asks
twice, as what was mistyped once would lock the key for good, and says that there need not be one.
"""
