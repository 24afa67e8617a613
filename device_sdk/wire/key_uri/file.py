"""`file:` key URIs: a PKCS#8 file, or a directory of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from device_sdk.errors import UriError
from device_sdk.model.key_uri import KeyUri
from device_sdk.model.secret import Secret
from device_sdk.wire.key_uri.components import attributes, check_text, decode, encode_path, encode_query, split_uri


@dataclass(frozen=True)
class FileUri(KeyUri):
    """`file:/path/key.pem?pin-source=file:/run/pin`; relative paths are kept as they are given.

    Attributes:
        path: the file, or the directory to list.
        pin_source: where the passphrase is, or None.
        pin_value: always None; a passphrase does not travel in this URI.
    """

    scheme: ClassVar[str] = "file"

    path: str
    pin_source: str | None = None
    pin_value: Secret | None = None

    def __post_init__(self) -> None:
        check_text({"the path": self.path, "pin-source": self.pin_source}, "file: URI")

    @classmethod
    def parse(cls, text: str) -> FileUri:
        """Read a `file:` URI; `file:///path` and `file://localhost/path` (RFC 8089) mean `file:/path`.

        Raises:
            UriError: no path, another host, an unknown attribute or a malformed escape.
        """
        raw, query = split_uri(text, cls.scheme)
        if raw.startswith("//"):
            host, slash, rest = raw[2:].partition("/")
            if host.lower() not in ("", "localhost") or not slash:
                raise UriError("file: URI: only files of this machine are read", hint="file:/path/key.pem")
            raw = "/" + rest
        path = decode(raw, "file: URI: the path")
        if not path:
            raise UriError("file: URI: the path is missing", hint="file:/path/key.pem")
        found = attributes(query, "&", ("pin-source",), "file: URI")
        return cls(path=path, pin_source=found.get("pin-source"))

    def __str__(self) -> str:
        # "file://x" would name a host: a path that starts with two slashes means the same with one
        path = encode_path("/" + self.path.lstrip("/") if self.path.startswith("/") else self.path)
        return f"file:{path}" + (f"?pin-source={encode_query(self.pin_source)}" if self.pin_source else "")
