"""Who knows a shared secret: looked up, judged, and guesses made slow."""

from __future__ import annotations

from collections.abc import Callable

from device_sdk_simulators.cmc.refusal import TRY_LATER, CmcRefusedError
from device_sdk_simulators.cmc.store import CmcStore
from device_sdk_simulators.guessing import Guesses
from device_sdk_simulators.http.messages import HttpError

_BY_SECRET = "cmc:"  # noqa: S105 - what users begin with that are clients with a shared secret


def user_of(identification: str) -> str:
    """The user that a client with this shared secret is; no user of HTTP has a colon in the name."""
    return f"{_BY_SECRET}{identification}"


class SecretProofs:
    """The secrets, behind what guesses cost.

    Args:
        store: where they are.
        guesses: counts wrong ones.
    """

    def __init__(self, store: CmcStore, guesses: Guesses) -> None:
        self._store = store
        self._guesses = guesses

    def prove(self, user: str, source: str, check: Callable[[bytes | None], None]) -> None:
        """Let `check` look at a proof.

        Args:
            user: see `user_of`; others have no secret.
            source: network address of the request.
            check: gets the secret, None if there is none, and raises CmcRefusedError for a wrong proof.

        Raises:
            CmcRefusedError: what `check` raises; tryLater after too many wrong ones, whether this one is right or not.
        """

        def judged() -> bool:
            known = user.startswith(_BY_SECRET)
            check(self._store.secret(user.removeprefix(_BY_SECRET)) if known else None)
            return True

        try:
            self._guesses.judge(user, source, judged)
        except HttpError as error:
            raise CmcRefusedError(TRY_LATER, error.text, http_status=error.status, headers=error.headers) from error
