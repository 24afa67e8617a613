"""Media types, read the way RFC 7030 peers need it: type and parameters in any case, quoted or not."""

from __future__ import annotations

from dataclasses import dataclass, field

PKCS10 = "application/pkcs10"
PKCS7 = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
CSRATTRS = frozenset({"application/csrattrs"})
FULLCMC_HEADERS = (
    ("Content-Type", "application/pkcs7-mime; smime-type=CMC-request"),
    ("Content-Disposition", 'attachment; filename="request.p7m"'),
)
"""Of a Full PKI Request; the file name is demanded by RFC 5273 section 3."""


@dataclass(frozen=True)
class MediaType:
    """A Content-Type value.

    Attributes:
        name: "type/subtype" in lower case, or "" if the header was absent or unreadable.
        parameters: names in lower case, values without their quotes.
    """

    name: str
    parameters: dict[str, str] = field(default_factory=dict)


def parse_media_type(value: str | None) -> MediaType:
    """Read a Content-Type value; never fails, as a header alone is no reason to refuse an answer."""
    if not value:
        return MediaType("")
    name, *rest = value.split(";")
    parameters: dict[str, str] = {}
    for item in rest:
        key, equals, content = item.partition("=")
        if equals:
            parameters.setdefault(key.strip().lower(), content.strip().strip('"'))
    return MediaType(name.strip().lower(), parameters)
