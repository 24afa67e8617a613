"""Where an entry leads: a list that came from a server never sends the client elsewhere (P-10, P-21; AMB-11, AMB-12)."""

from __future__ import annotations

from urllib.parse import unquote

from device_sdk.errors import ConfigurationError, RemoteProtocolError
from device_sdk.model.urls import shown_url
from device_sdk.protocols.est.urls import EstEndpoint, origin_of
from device_sdk.protocols.pal.types import Action, PackageType

_RETURN = "return"


def target_of(uri: str, kind: PackageType, endpoint: EstEndpoint) -> str:
    """The request target of an entry's URI, if that is of this very service and of an operation that fits the type.

    `/.well-known/est[/LABEL]/OPERATION[/ITEM]`, and `/return` in place of the item for what the server wants back; a query
    may follow.

    Args:
        uri: as the entry has it.
        kind: the entry's type.
        endpoint: the service the list came from.

    Raises:
        RemoteProtocolError: another scheme, origin, base path or operation, or a path that can be read in two ways.
    """
    origin, target = _split(uri)
    if origin != endpoint.origin:
        raise _refusal(uri, f"not at {endpoint.origin}")
    path, _, _ = target.partition("?")
    for operation in kind.operations:
        base = endpoint.target(operation)
        if path == base or path.startswith(f"{base}/"):
            if _fits(path.removeprefix(base).removeprefix("/"), path, kind):
                return target
            break
    names = " or ".join(endpoint.target(operation) for operation in kind.operations)
    raise _refusal(uri, f"a package of type {kind.number} ({kind.meaning}) is at {names}")


def _fits(item: str, path: str, kind: PackageType) -> bool:
    """One plain segment at most: what a server could read as another path is no item."""
    plain = unquote(item)
    if path.endswith("/") or "/" in plain or plain in (".", "..") or "\\" in plain or not plain.isprintable():
        return False
    return (plain == _RETURN) is (kind.action is Action.RETURN)


def _split(uri: str) -> tuple[str, str]:
    if not uri.startswith("https://"):  # a relative reference is no URI (RFC 3986 section 4.1)
        raise _refusal(uri, "no https:// URI")
    authority, slash, rest = uri.removeprefix("https://").partition("/")
    if not slash or "#" in rest or any(char in authority for char in "?#@\\"):
        raise _refusal(uri, "no path, or more than host, path and query")
    try:
        return origin_of(f"https://{authority}"), f"/{rest}"
    except ConfigurationError as error:  # nobody configured it: one entry that leads nowhere stops no other
        raise _refusal(uri, "no URI that names a host") from error


def _refusal(uri: str, why: str) -> RemoteProtocolError:
    return RemoteProtocolError(
        f"{shown_url(uri)[:200]}: in a package list: {why}",
        hint="tell the operator of the EST server; a package list is followed to its own server only",
        url=shown_url(uri)[:1024],
    )
