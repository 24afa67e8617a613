"""Exactly one token for a URI."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

from device_sdk.errors import TokenAmbiguousError, TokenNotFoundError
from device_sdk.keystores.pkcs11 import codes
from device_sdk.keystores.pkcs11.codes import TOKEN_LOST, CkError, calling
from device_sdk.keystores.pkcs11.modules import Module
from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri

PATIENCE_S = 3.0
"""How long a token may be out of sight because another process is writing to it."""

TRANSIENT = TOKEN_LOST | {codes.GENERAL_ERROR, codes.FUNCTION_FAILED}
_PAUSE_S = 0.05
_LOOKS = 3

CKF_WRITE_PROTECTED = 0x2
CKF_LOGIN_REQUIRED = 0x4
CKF_PROTECTED_AUTHENTICATION_PATH = 0x100
CKF_TOKEN_INITIALIZED = 0x400
CKF_USER_PIN_COUNT_LOW = 0x10000
CKF_USER_PIN_FINAL_TRY = 0x20000
CKF_USER_PIN_LOCKED = 0x40000


@dataclass(frozen=True)
class TokenName:
    """What tells one token from all others, wherever it is plugged in: the words of CK_TOKEN_INFO."""

    label: str
    manufacturer: str
    model: str
    serial: str

    @property
    def identity(self) -> str:
        """One text for all of it; some makes give all their tokens one serial number, so the label counts too."""
        return f"pkcs11:{self.manufacturer}:{self.model}:{self.serial}:{self.label}"

    def uri(self) -> Pkcs11Uri:
        """The URI that names this token and nothing else."""
        return Pkcs11Uri(token=self.label, manufacturer=self.manufacturer, serial=self.serial, model=self.model)


@dataclass(frozen=True)
class Found:
    """A token in its slot; `token` is python-pkcs11's object, good until the module restarts."""

    name: TokenName
    slot_id: int
    token: Any
    initialized: bool


def find_patiently(module: Module, uri: Pkcs11Uri, may_restart: Callable[[], bool]) -> Found:
    """The one token that fits a URI, also if another process is just writing to it.

    SoftHSM loses sight of a token whose files are being replaced, and of one that was away, until it is initialised
    again. Where another token is in sight, that is not what happened: then a few more looks are enough.

    Args:
        module: where to look.
        uri: what to look for.
        may_restart: asked before the module is restarted, which ends its logins to other tokens too.

    Raises:
        TokenNotFoundError, TokenAmbiguousError: as find_token does.
        CkError: the module does not tell its slots.
    """
    deadline = time.monotonic() + PATIENCE_S
    before: TokenName | None = None
    for attempt in count(1):
        generation = module.generation
        try:
            found = find_token(module, uri)
            # Half-written tokens lack the one or the other; one that really has none says so twice.
            if (found.name.label and found.name.serial) or found.name == before:
                return found
            before = found.name
        except TokenAmbiguousError:
            raise
        except TokenNotFoundError as error:
            seen = (Pkcs11Uri.parse(candidate) for candidate in error.candidates or ())
            others = any(other.token and other.serial for other in seen)
            if time.monotonic() > deadline or (others and attempt > _LOOKS):
                raise
        except CkError as error:
            if error.code not in TRANSIENT or time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE_S * min(attempt, 4))
        if may_restart():
            module.restart(generation)
    raise AssertionError("unreachable")


def find_token(module: Module, uri: Pkcs11Uri) -> Found:
    """The one token that fits a URI, as the module sees it now.

    Raises:
        TokenNotFoundError, TokenAmbiguousError: none or several do; the candidates are listed.
        CkError: the module does not tell its slots.
    """
    with module.gate.shared():
        if not _library_fits(module, uri):
            raise TokenNotFoundError(f"{uri}: the module {module.path} is not the one the URI describes", uri=str(uri))
        present = _tokens(module)
    fitting = [found for slot, found in present if _fits(slot, found.name, uri) and found.initialized]
    if len(fitting) == 1:
        return fitting[0]
    shown = fitting if fitting else [found for _, found in present]
    candidates = tuple(str(found.name.uri()) for found in shown if found.initialized)
    listing = "; ".join(candidates) or "none"
    if fitting:
        raise TokenAmbiguousError(
            f"{uri}: {len(fitting)} tokens fit: {listing}",
            hint="add serial= to the URI",
            uri=str(uri),
            candidates=candidates,
        )
    raise TokenNotFoundError(
        f"{uri}: no token fits; initialised tokens in {module.path}: {listing}",
        hint="is the token plugged in, initialised, and may this user reach it?",
        uri=str(uri),
        candidates=candidates,
    )


def _library_fits(module: Module, uri: Pkcs11Uri) -> bool:
    wanted = (uri.library_manufacturer, uri.library_description, uri.library_version)
    if wanted == (None, None, None):
        return True
    info = module.cryptoki.library_info()
    actual = (info.manufacturer, info.description, info.version)
    return all(want is None or want == have for want, have in zip(wanted, actual, strict=True))


def _tokens(module: Module) -> list[tuple[Any, Found]]:
    tokens = []
    with calling("C_GetSlotList"):
        slots = module.library.get_slots(token_present=True)
    for slot in slots:
        try:
            with calling("C_GetTokenInfo"):
                token = slot.get_token()
        except CkError:
            continue  # being removed, or being written by another process: not there now
        serial = token.serial.decode("utf-8", "replace").rstrip(" \0")
        name = TokenName(token.label.rstrip("\0"), token.manufacturer_id.rstrip("\0"), token.model.rstrip("\0"), serial)
        initialized = bool(token.flags & CKF_TOKEN_INITIALIZED)
        tokens.append((slot, Found(name, slot.slot_id, token, initialized)))
    return tokens


def _fits(slot: Any, name: TokenName, uri: Pkcs11Uri) -> bool:
    pairs = (
        (uri.token, name.label),
        (uri.manufacturer, name.manufacturer),
        (uri.model, name.model),
        (uri.serial, name.serial),
        (uri.slot_id, slot.slot_id),
        (uri.slot_description, slot.slot_description),
        (uri.slot_manufacturer, slot.manufacturer_id),
    )
    return all(want is None or want == have for want, have in pairs)
