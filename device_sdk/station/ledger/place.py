"""How a ledger is named: the path of a file, or the URL of a database without a password."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from device_sdk.errors import ConfigurationError

_PARAMETERS = {
    "host",
    "hostaddr",
    "port",
    "user",
    "dbname",
    "passfile",
    "service",
    "connect_timeout",
    "application_name",
}
_PARAMETERS |= {
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "sslcrl",
    "channel_binding",
    "gssencmode",
    "require_auth",
}
_PARAMETERS |= {"target_session_attrs"}
_PARAMETERS |= {"keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"}
_ELSEWHERE = "put it into a file that ?passfile=FILE or PGPASSFILE names (HOST:PORT:DATABASE:USER:PASSWORD, mode 0600), or into PGPASSWORD"


def is_url(place: str) -> bool:
    """Whether this is the URL of a PostgreSQL database; otherwise it is a path.

    Raises:
        ConfigurationError: the URL of something else, with a password in it, or with parameters that are not known.
    """
    scheme, separator, _ = place.partition("://")
    if not separator:
        return False
    if scheme not in ("postgresql", "postgres"):
        raise ConfigurationError(
            f"a ledger is a file or a postgresql: URL, not {scheme[:40]}:", hint="name the path of a file"
        )
    try:
        parts = urlsplit(place)
        password, _port = parts.password, parts.port
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise ConfigurationError(
            "the URL of the ledger cannot be read", hint="postgresql://HOST/DATABASE?user=NAME"
        ) from None
    names = {name for name, _ in query}
    if password is not None or names & {"password", "sslpassword"}:
        raise ConfigurationError("the URL of the ledger has a password in it, which was not used", hint=_ELSEWHERE)
    if names - _PARAMETERS:
        unknown = ", ".join(sorted(names - _PARAMETERS))[:200]
        raise ConfigurationError(
            f"the URL of the ledger has parameters that are not known here: {unknown}",
            hint="known are " + ", ".join(sorted(_PARAMETERS)),
        )
    return True


def shown(place: str) -> str:
    """The place as messages name it: of a URL host and database, and nothing that could be secret."""
    if "://" not in place:
        return place
    try:
        parts = urlsplit(place)
        return f"postgresql://{parts.hostname or ''}{parts.path}"
    except ValueError:
        return "postgresql:"
