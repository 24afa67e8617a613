"""Which HTTP proxy carries a connection: the one that was given, or HTTPS_PROXY and NO_PROXY of the environment."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from device_sdk.errors import ConfigurationError
from device_sdk.model.secret import Secret
from device_sdk.transports.https.origin import Origin, ip_of

_PORT = re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy; `credentials` is "user:password" for Basic authentication to it, or None."""

    host: str
    port: int
    credentials: Secret | None = None

    def headers(self) -> dict[str, str]:
        """Header fields of the CONNECT request."""
        if self.credentials is None:
            return {}
        return {"Proxy-Authorization": "Basic " + base64.b64encode(self.credentials.reveal()).decode()}

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def choose_proxy(origin: Origin, given: str | None, environment: Mapping[str, str]) -> Proxy | None:
    """The proxy for an origin.

    Args:
        origin: the server.
        given: a proxy's URL; "" for none whatever the environment says; None to ask the environment.
        environment: os.environ; HTTPS_PROXY and NO_PROXY in either case, lower case first.

    Raises:
        ConfigurationError: not an http:// proxy.
    """
    if given is not None:
        return _parse(given) if given else None
    found = environment.get("https_proxy") or environment.get("HTTPS_PROXY")
    excluded = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    if not found or any(_covers(entry.strip(), origin) for entry in excluded.split(",")):
        return None
    return _parse(found)


def _parse(url: str) -> Proxy:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port
    except ValueError:  # whose text may repeat the password
        raise ConfigurationError("the proxy's address is not a URL", hint="http://HOST:PORT") from None
    if "@" in parts.path + parts.query + parts.fragment:
        raise ConfigurationError(
            "the proxy's address has an '@' where its path is",
            hint="write /, ? and # in user name and password as %2F, %3F and %23",
        )
    if parts.scheme.lower() != "http" or not host:
        raise ConfigurationError(
            f"a proxy of kind {parts.scheme!r} is not supported",
            hint="http://HOST:PORT, which carries https by CONNECT",
        )
    secret = None
    if parts.username is not None:
        secret = Secret(f"{unquote(parts.username)}:{unquote(parts.password or '')}")
    return Proxy(host, 80 if port is None else port, secret)


def _covers(entry: str, origin: Origin) -> bool:
    """Whether one entry of NO_PROXY names the origin: *, a domain, host[:port], an address or a network."""
    if entry == "*":
        return True
    address = ip_of(origin.host)
    if address is not None:
        try:
            return address in ipaddress.ip_network(entry.strip("[]"), strict=False)
        except ValueError:
            pass  # perhaps with a port
    name, _, port = entry.lower().rpartition(":")
    if name and _PORT.fullmatch(port) and ("]" in name or ":" not in name):
        return int(port) == origin.port and _covers(name.strip("[]"), origin)
    domain = entry.lower().lstrip(".")
    return bool(domain) and (origin.host == domain or origin.host.endswith(f".{domain}"))
