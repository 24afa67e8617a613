"""The options of `device-sdk-sim cale`, and which role has which."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from device_sdk_simulators.cli import option_types as types

ALL = ("edge", "authz", "origin", "resource")
_SEALING = ("edge", "authz", "origin")
_JUDGING = ("edge", "origin", "resource")
_INNER = ("authz", "origin", "resource")


@dataclass(frozen=True)
class Option:
    """One option of the command line.

    Attributes:
        flag: its name.
        roles: those that have it.
        settings: what `add_argument` takes.
        handed_on: whether `all` hands it on.
        inside: the option that names the server elsewhere whose option this is; where it is not given that server is inside
            the edge device, and the edge device has this option, too.
    """

    flag: str
    roles: tuple[str, ...]
    settings: dict[str, Any]
    handed_on: bool = True
    inside: str = ""

    @property
    def name(self) -> str:
        """As in the parsed arguments."""
        return self.flag.removeprefix("--").replace("-", "_")

    @property
    def parsed_by(self) -> tuple[str, ...]:
        """The roles whose command line takes it."""
        return (*self.roles, "edge") if self.inside else self.roles


def peer(text: str) -> str:
    """A name or a fingerprint."""
    from device_sdk_simulators.cale.peers import normal_peer

    try:
        return normal_peer(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def remote(text: str) -> tuple[str, str]:
    """NAME=URL: the URL of a role, and its name or fingerprint."""
    name, equals, url = text.partition("=")
    if not equals or not re.fullmatch(r"https://[^/?#@\s]+/?", url):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not NAME=https://HOST:PORT; NAME is a name or sha256:HEX of the certificate of the role there, as "
            "`device-sdk-sim cale pki` prints them"
        )
    return url, peer(name)


def resource(text: str) -> tuple[str, tuple[str, str]]:
    """[PATH:]NAME=URL: a resource server, and the paths it is asked about."""
    match = re.fullmatch(r"(?:(/[^:]*):)?([^=/]+=.+)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not [PATH:]NAME=https://HOST:PORT")
    return match[1] or "/", remote(match[2])


def scope(text: str) -> tuple[str, str]:
    """PATH=SCOPE; the path as it is after decoding, and one that requests can have."""
    from device_sdk_simulators.cale.scopes import OddPathError, plain_path

    path, equals, name = text.rpartition("=")
    if not equals or not path.startswith("/") or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not PATH=SCOPE with a path that begins with /")
    try:
        plain_path(quote(path))
    except OddPathError as error:
        # such requests are refused, so the rule would protect nothing
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error
    return path, name


def grant(text: str) -> tuple[str, str]:
    """[OWNER=]SCOPE."""
    owner, _, name = text.rpartition("=")
    if not 0 < len(name) <= 64 or not name.isprintable():
        raise argparse.ArgumentTypeError(
            f"{text!r} is not [OWNER=]SCOPE; an organizational unit has 1 to 64 characters"
        )
    return owner, name


def suite(text: str) -> str:
    """An OpenSSL name of a cipher suite that answers can be encrypted with."""
    from device_sdk_simulators.cale.ciphers import SUITES

    if text not in SUITES:
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(SUITES)}")
    return text


def method(text: str) -> str:
    """POST, PUT, PATCH or DELETE."""
    if text not in ("POST", "PUT", "PATCH", "DELETE"):
        raise argparse.ArgumentTypeError(f"{text!r} is not POST, PUT, PATCH or DELETE")
    return text


def field(text: str) -> str:
    """Accept, Accept-Language or User-Agent."""
    from device_sdk_simulators.cale.headers import FORWARDED

    if text.lower() not in [name.lower() for name in FORWARDED]:
        raise argparse.ArgumentTypeError(f"{text!r} is not Accept, Accept-Language or User-Agent")
    return text


def milliseconds(text: str) -> float:
    """Milliseconds, in seconds."""
    return types.whole_number(0, 60_000)(text) / 1000


def _many(read: Callable[[str], Any], metavar: str, text: str) -> dict[str, Any]:
    return {"action": "append", "default": [], "type": read, "metavar": metavar, "help": text}


def _path(text: str) -> dict[str, Any]:
    return {"type": Path, "metavar": "FILE", "help": text}


def _seconds(read: Callable[[str], Any], default: float, text: str) -> dict[str, Any]:
    return {"type": read, "default": default, "metavar": "SECONDS", "help": f"{text} (default: %(default)s)"}


def _switch(text: str) -> dict[str, Any]:
    return {"action": "store_true", "help": text}


def _choice(words: tuple[str, ...], text: str) -> dict[str, Any]:
    return {"choices": words, "default": words[0], "help": f"{text} (default: %(default)s)"}


OPTIONS = (
    Option("--peer", _INNER, _many(peer, "NAME|sha256:HEX", "who may call; nobody else"), handed_on=False),
    Option("--hop-certificate", ALL, _path("for other roles (default: hop/certificate.pem in the state directory)"), False),
    Option("--hop-key", ALL, _path("its key (default: hop/key.pem)"), False),
    Option("--hop-anchors", ALL, _path("CA of the other roles (default: hop/anchors.pem)"), False),
    Option("--hop-timeout", ("edge", "origin"), _seconds(types.duration, 5, "for every wait for another role; an exchange may take four times as long")),
    Option("--authz", ("edge",), {"type": remote, "metavar": "NAME=URL", "help": "authorization server; one inside if not given"}, False),
    Option("--origin", ("edge",), {"type": remote, "metavar": "NAME=URL", "help": "origination server"}, False),
    Option("--upstream", ("edge",), {"metavar": "URL", "help": "instead of an origination server: an HTTP server that knows nothing of CALE"}, False),
    Option("--owner-header", ("edge",), {"default": "", "metavar": "NAME", "help": "field in which the upstream reads whose request it is"}, False),
    Option("--max-body", ("edge",), {"type": types.whole_number(1, 1 << 30), "default": 1 << 20, "metavar": "BYTES", "help": "largest answer of the upstream (default: %(default)s)"}, False),
    Option("--certificate", ("edge",), _path("for clients (default: tls/certificate.pem, made if missing)"), False),
    Option("--key", ("edge",), _path("its key (default: tls/key.pem)"), False),
    Option("--name", ("edge",), _many(types.host, "NAME", "further name or address of a certificate that is made"), False),
    Option("--user", ("edge",), {"type": types.user, "help": "a user that may register with a password"}),
    Option("--password-file", ("edge",), _path("that user's password, on the first line")),
    Option("--token-file", ("edge",), _path("who may register with a bearer token: lines of NAME TOKEN")),
    Option("--client-anchors", ("edge",), _path("PEM: CAs whose TLS client certificates prove an identity, as the EST server's; without --client-crl also revoked ones")),
    Option("--client-crl", ("edge",), _path("PEM: revocation lists of these CAs, read again when the file changes; a certificate without a current list of its CA then proves nothing")),
    Option("--issuer", _JUDGING, _path("certificate of the authorization server's CA (default: issuer.pem in the state directory)"), False),
    Option("--resource", ("origin",), _many(resource, "[PATH:]NAME=URL", "a resource server, for paths below PATH"), False),
    Option("--document", ("resource",), _many(types.document, "PATH=FILE", "something to read")),
    Option("--organization", ("authz",), {"type": types.host, "help": "domain in certificates (default: reference.example)"}, inside="--authz"),
    Option("--grant", ("authz",), _many(grant, "[OWNER=]SCOPE", "a scope of an owner, or of everybody else (default: read)"), inside="--authz"),
    Option("--scope", ("origin",), _many(scope, "PATH=SCOPE", "the scope that paths below PATH need"), inside="--origin"),
    Option("--max-registrations", ("authz", "edge"), {"type": types.whole_number(0, 1 << 30), "default": 1000, "metavar": "N", "help": "registrations of one owner, revoked ones included; 0: any number (default: %(default)s)"}),
    Option("--strangers-like", ("authz",), _many(str, "OWNER", "GUIDs that nobody has look like the registrations of this owner, and no others change how they look; best one that is there for nothing else, with a registration of every kind of client (default: like the first 64 registrations)"), inside="--authz"),
    Option("--certificate-lifetime", ("authz", "edge"), _seconds(types.duration, 10, "of a certificate for one request")),
    Option("--backdate", ("authz", "edge"), _seconds(types.delay, 5, "how far before now it begins")),
    Option("--clock-skew", _JUDGING, _seconds(types.delay, 0, "how far outside of its validity it counts")),
    Option("--clock-offset", ALL, _seconds(types.offset, 0, "how fast this server's clock is")),
    Option("--replay", ("origin", "edge"), _choice(("strict", "per-request", "off"), "what a certificate may be shown for twice: nothing, other requests, everything")),
    Option("--suite", _SEALING, _many(suite, "NAME", "a cipher suite of the common list, instead of all that are known")),
    Option("--cale-headers", _SEALING, _choice(("draft", "draft-folded", "plain"), "form of the answers' header fields; plain for proxies and parsers that take one Content-Type only")),
    Option("--cale-aead", _SEALING, _switch("AES-GCM where the TLS suite is an AEAD one")),
    Option("--cale-hardened", _SEALING, _switch("RSA-OAEP, recipients named by key")),
    Option("--inside", ("authz", "edge"), _choice(("http", "draft"), "what is encrypted for clients that say they take it: status, header fields and content (RFC 9292); or bare content, as for all others. Of an edge device it counts if the authorization server is inside")),
    Option("--decoys", ("edge", "authz"), _choice(("hardened", "draft"), "real envelopes for nobody, or what the draft prints")),
    Option("--pad-to", _SEALING, {"type": types.whole_number(0, 65536), "default": 256, "metavar": "BYTES", "help": "lengths of texts and JSON are multiples of this; 0: as they are (default: %(default)s)"}),
    Option("--slot", ("edge",), {"type": milliseconds, "default": 0.25, "metavar": "MS", "help": "answers and decoys leave at multiples of this time only, so that decoys cannot be told by theirs; 0: as soon as they are ready, and decoys wait as long as answers took (default: 250)"}),
    Option("--late", ("edge",), _choice(("decoy", "wait"), "what goes to a client whose answer is not ready at the end of its first slot: a decoy, so that time tells nothing; or the answer, slots later, which tells who is registered where answers are slow or a server is down")),
    Option("--draft-exact", _SEALING, _switch("answers and decoys as Appendix B prints them; overrides the options above")),
    Option("--certificate-header", ("edge", "origin"), _choice(("CALE-PEM", "Client-Cert"), "how certificates go inside; Client-Cert is RFC 9440")),
    Option("--rate", ("edge",), {"type": types.delay, "default": 0, "metavar": "N", "help": "requests a minute with one GUID, registrations from one address, and with --rate-answer 429 requests from one address; 0: any number (default)"}),
    Option("--rate-answer", ("edge",), _choice(("decoy", "429"), "what goes to who asks more often; 429 tells anybody that a GUID is in use by somebody else")),
    Option("--on-failure", ("edge",), _choice(("decoy", "502"), "what goes to clients where another role fails; 502 tells anybody who is registered, while it fails")),
    Option("--memory", ("edge", "origin"), {"type": types.whole_number(1, 1 << 20), "default": 256, "metavar": "MIB", "help": "for answers and decoys of more than 64 KiB that are made at one time, which takes five times their length; others wait until there is room (default: %(default)s)"}),
    Option("--allow-method", ("edge",), _many(method, "METHOD", "besides GET and HEAD, for who also proves its identity")),
    Option("--forward", ("edge",), _many(field, "FIELD", "Accept, Accept-Language or User-Agent: goes inside as the client sends it; where lengths of answers depend on it, anybody can ask who is registered")),
)  # fmt: skip
