"""Scheme, host and port of a server."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from device_sdk.errors import ConfigurationError
from device_sdk.model.urls import shown_url, split_url

_HTTPS_PORT = 443


@dataclass(frozen=True)
class Origin:
    """An https origin.

    Attributes:
        host: A-labels in lower case, or an IP literal without brackets.
        port: TCP port.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> Origin:
        """The origin of an https URL; its path is of no interest here.

        Raises:
            ConfigurationError: not https (EST-11), no host, credentials inside, or no URL at all.
        """
        shown = shown_url(url)
        parts = split_url(url)
        host, port = parts.hostname or "", parts.port
        if parts.scheme.lower() != "https" or not host:
            raise ConfigurationError(f"{shown}: only https:// URLs are used", hint="https://HOST or https://HOST:PORT")
        return cls(_ascii(host), _HTTPS_PORT if port is None else port)

    @property
    def authority(self) -> str:
        """What goes into the Host header: brackets around IPv6, the port unless it is 443."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _HTTPS_PORT else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"https://{self.authority}"


def _ascii(host: str) -> str:
    if "%" in host:
        raise ConfigurationError(
            f"{host!r}: an IPv6 address with a zone is known to one machine only, and to no certificate",
            hint="use the server's name, or an address that is not link-local",
        )
    if ip_of(host) is not None:
        return host
    try:
        return host.encode("idna").decode("ascii").lower()
    except UnicodeError as exc:
        raise ConfigurationError(f"{host!r} is not a host name") from exc


def ip_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address of an IP literal, its zone left out; None for a name."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
