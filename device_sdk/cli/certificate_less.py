"""TLS without certificates: `--srp-user` and its password, and what does not go together with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_sdk.cli.inputs import anchors
from device_sdk.cli.secrets import srp_password
from device_sdk.cli.settings import Settings, Source
from device_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from device_sdk.model.credentials import Credentials
    from device_sdk.model.trust import ServerTrust

SRP = ("est.srp_user", "est.srp_password_file", "est.srp_password_fd")


def srp_credentials(settings: Settings, *, identified: bool) -> Credentials | None:
    """User and password for TLS without certificates, or None if it was not asked for.

    Args:
        settings: where they are named.
        identified: there is a certificate for TLS; then what the environment and the configuration say of SRP, which was
            for the first enrolment, does not count.

    Raises:
        ConfigurationError: a user and no password, or the reverse; or a flag says SRP where there is a certificate.
    """
    from device_sdk.model.credentials import Credentials

    user = settings.text("est.srp_user")
    flags = [name for name in SRP if settings.source(name) is Source.FLAG]
    if identified:
        if flags:
            raise ConfigurationError(
                "TLS without certificates (--srp-user) and a certificate for TLS exclude each other",
                hint="leave out one of them",
            )
        return None
    if user is None:
        if flags:
            raise ConfigurationError("there is a password for SRP and no user name", hint="give --srp-user NAME")
        return None
    found = srp_password(settings)
    if found is None:
        raise ConfigurationError(
            f"no password for SRP user {user}",
            hint="give --srp-password-file or --srp-password-fd, set DEVICE_SDK_SRP_PASSWORD, or run at a terminal",
        )
    return Credentials(user, found)


def srp_trust(settings: Settings) -> ServerTrust:
    """The Explicit anchors of --anchors, if there are any: the password authorizes the server (RFC 7030 section 3.6).

    Raises:
        ConfigurationError: --pin or --implicit, which are for servers with certificates.
    """
    from device_sdk.model.trust import ServerTrust

    if settings.list("est.pins") or settings.switch("est.implicit"):
        raise ConfigurationError(
            "--pin and --implicit are for servers with certificates; with --srp-user the password vouches for the server",
            hint="leave them out, or leave out --srp-user",
        )
    return ServerTrust(anchors(settings))
