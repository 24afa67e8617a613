"""From what a person configures to the targets of the EST operations (RFC 7030 sections 3.1 and 3.2.2)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, unique
from urllib.parse import quote, unquote_to_bytes

from device_sdk.errors import ConfigurationError
from device_sdk.model.compatibility import Dialect
from device_sdk.model.urls import shown_url, split_url

WELL_KNOWN = "/.well-known/est"
_DEFAULT_PORT = 443
# What RFC 3986 allows in a segment besides letters, digits and "-._~", which quote() leaves alone anyway.
_SEGMENT_SAFE = "!$&'()*+,;=:@"


@unique
class Operation(Enum):
    """The operations of EST and of RFC 8295; the value is the path segment that names them."""

    CACERTS = "cacerts"
    CSRATTRS = "csrattrs"
    SIMPLE_ENROLL = "simpleenroll"
    SIMPLE_REENROLL = "simplereenroll"
    SERVERKEYGEN = "serverkeygen"
    FULLCMC = "fullcmc"
    PAL = "pal"
    EECERTS = "eecerts"
    CRLS = "crls"
    SYMMETRIC_KEYS = "symmetrickeys"
    FIRMWARE = "firmware"
    TAMP = "tamp"


# draft-ietf-pkix-est-04 section 4, for servers that compare letter by letter.
_DRAFT_04 = {
    Operation.CACERTS: "CACerts",
    Operation.CSRATTRS: "CSRAttrs",
    Operation.SIMPLE_ENROLL: "simpleEnroll",
    Operation.SIMPLE_REENROLL: "simpleReEnroll",
    Operation.SERVERKEYGEN: "serverKeyGen",
    Operation.FULLCMC: "fullCMC",
}

# EST-07: a label never looks like an operation, those of RFC 8295 included.
_RESERVED_LABELS = {operation.value for operation in Operation}


@dataclass(frozen=True)
class EstEndpoint:
    """One EST service: an origin and, if the server has several CAs, a label.

    Attributes:
        origin: "https://host:port", lower case, port omitted when it is 443.
        label: the CA label, not percent-encoded, or None.
        dialect: how operations are spelt; see model.compatibility.Dialect.
    """

    origin: str
    label: str | None = None
    dialect: Dialect = "rfc7030"

    def target(self, operation: Operation) -> str:
        """Origin-form request target, percent-encoded ("/.well-known/est/LABEL/cacerts")."""
        label = f"/{quote(self.label, safe=_SEGMENT_SAFE)}" if self.label else ""
        name = _DRAFT_04.get(operation, operation.value) if self.dialect == "draft-04" else operation.value
        return f"{WELL_KNOWN}{label}/{name}"

    def place(self, target: str | None, operation: Operation) -> str:
        """A request target of an operation: its own, or the one of an item of it that is given.

        Raises:
            ConfigurationError: the one that is given is of another operation.
        """
        if target is not None and not self.is_at(operation, target):
            raise ConfigurationError(f"{target[:200]}: not at {self.target(operation)}")
        return target or self.target(operation)

    def is_at(self, operation: Operation, target: str) -> bool:
        """Whether a request target is that of an operation, or of an item of it."""
        path, base = target.partition("?")[0], self.target(operation)
        return path == base or path.startswith(f"{base}/")

    def url(self, operation: Operation) -> str:
        """Absolute URL of an operation."""
        return self.origin + self.target(operation)


def parse_est_url(url: str, label: str | None = None, dialect: Dialect = "rfc7030") -> EstEndpoint:
    """Read a configured EST address (EST-08, EST-09, EST-11).

    Args:
        url: "host", "host:port", "https://host:port", the same with "/.well-known/est" and perhaps "/LABEL" after it;
            a final slash changes nothing.
        label: the CA label as text, unless the URL holds it; it is percent-encoded as one segment.
        dialect: how operations are spelt.

    Raises:
        ConfigurationError: not https, another path, a query, user information, or a label that cannot be one.
    """
    text = url.strip()
    shown = shown_url(url)
    origin, path = _split(text if "://" in text else f"https://{text}")
    in_path = _label_in_path(path, shown)
    if in_path and label and in_path != label:
        raise ConfigurationError(f"{shown}: the URL names the label {in_path!r}, the configuration {label!r}; give one")
    chosen = in_path or label or None
    if chosen is not None:
        _check_label(chosen)
    return EstEndpoint(origin, chosen, dialect)


def origin_of(url: str) -> str:
    """The origin of an absolute https URL, as in `EstEndpoint.origin`; ConfigurationError if it has none."""
    return _split(url)[0]


def _split(text: str) -> tuple[str, str]:
    shown = shown_url(text)
    parts = split_url(text)
    host, port = parts.hostname, parts.port
    if parts.scheme != "https":
        raise ConfigurationError(
            f"{shown}: EST runs over https only (RFC 7030 section 3.3)",
            hint="give https://HOST or https://HOST:PORT; a server of one's own gets a certificate first",
        )
    if not host or any(char.isspace() or ord(char) < 32 for char in text):
        raise ConfigurationError(f"{shown!r} names no host")
    if parts.query or parts.fragment or text.endswith(("?", "#")):
        raise ConfigurationError(f"{shown}: an EST URL has no query and no fragment")
    return _origin(host, port, shown), parts.path


def _origin(host: str, port: int | None, shown: str) -> str:
    try:
        name = f"[{host}]" if ":" in host else host.encode("idna").decode("ascii").lower()
    except UnicodeError as error:
        raise ConfigurationError(f"{shown}: the host name cannot be encoded: {error}") from error
    return f"https://{name}" if port in (None, _DEFAULT_PORT) else f"https://{name}:{port}"


def _label_in_path(path: str, shown: str) -> str | None:
    trimmed = path.rstrip("/")
    if trimmed in ("", WELL_KNOWN):
        return None
    prefix, _, segment = trimmed.rpartition("/")
    if prefix != WELL_KNOWN:
        raise ConfigurationError(f"{shown}: the path of an EST URL is {WELL_KNOWN} and perhaps one label after it")
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{shown}: the label is not UTF-8") from error


def _check_label(label: str) -> None:
    if label.lower() in _RESERVED_LABELS:
        raise ConfigurationError(f"the label {label!r} is the name of an EST operation")
    if label in (".", "..") or ".." in label or any(char in label for char in "/?#\\"):
        raise ConfigurationError(f"the label {label!r} holds what cannot be in one path segment")
    if any(ord(char) < 32 or ord(char) == 127 for char in label):
        raise ConfigurationError("the label holds control characters")
