"""From settings to what CALE commands work with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_sdk.cli import inputs
from device_sdk.cli.secrets import pin_provider
from device_sdk.cli.settings import Settings
from device_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from device_sdk.client.cale import CaleApplication
    from device_sdk.model.csr import CsrSpec
    from device_sdk.model.decryption import DecryptionPolicy
    from device_sdk.model.trust import ServerTrust
    from device_sdk.state import StateDirectory

STATE = ("state_dir", "cale.application", "key.pin_file", "key.pin_fd", "key.allow_imported", "certificates_dir")
TRUST = ("est.anchors", "est.implicit", "est.timeout_s", "est.proxy")


def state_directory(settings: Settings) -> StateDirectory:
    """The state directory."""
    from device_sdk.state import StateDirectory

    return StateDirectory(settings.require("state_dir"))


def application(settings: Settings) -> CaleApplication:
    """The application the settings name."""
    from device_sdk.client.cale import CaleApplication

    return CaleApplication(
        state_directory(settings),
        settings.require("cale.application"),
        pin=pin_provider(settings),
        allow_imported=settings.switch("key.allow_imported"),
    )


def policy(settings: Settings) -> DecryptionPolicy:
    """The algorithms that are accepted."""
    from device_sdk.model import decryption

    named = {
        "everything": decryption.EVERYTHING,
        "authenticated": decryption.AUTHENTICATED,
        "hardened": decryption.HARDENED,
    }
    return named[settings.text("cale.policy") or "everything"]


def max_bytes(settings: Settings) -> int:
    """The largest acceptable answer; ConfigurationError for none at all."""
    limit = settings.number("cale.max_bytes")
    if limit is None or limit < 1:
        raise ConfigurationError("cale.max_bytes must be at least 1")
    return int(limit)


def trust(settings: Settings, state: StateDirectory) -> ServerTrust:
    """The anchors given, or those of the state directory, and its revocation lists.

    Raises:
        ConfigurationError: there are none.
    """
    from device_sdk.model.trust import ServerTrust

    explicit = inputs.anchors(settings)
    implicit = settings.switch("est.implicit")
    if not explicit and not implicit:
        explicit = state.snapshot()[2]
    if not explicit and not implicit:
        raise ConfigurationError("no trust anchors for the CALE server", hint="enrol first, or give --anchors FILE")
    return ServerTrust(explicit, implicit, lists=state.packages.lists())


def spec(settings: Settings, state: StateDirectory, *, again: bool = False) -> CsrSpec:
    """What --subject says, or the subject of the current certificate; ConfigurationError for neither."""
    from device_sdk.model.csr import CsrSpec

    chain = state.snapshot()[1]
    if settings.text("identity.subject") is None and not settings.list("identity.san") and chain:
        return CsrSpec(chain[0].subject)
    try:
        return inputs.csr_spec(settings)
    except ConfigurationError as error:
        if again and error.hint:
            error.hint += "; a registration does not keep what it was asked for with"
        raise
