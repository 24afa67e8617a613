"""`tpm2:` key URIs: a persistent handle, a TSS2 PRIVATE KEY file, a directory of such files, or a TPM as a whole."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from device_sdk.errors import UriError
from device_sdk.model.key_uri import KeyUri
from device_sdk.model.secret import Secret
from device_sdk.wire.key_uri.components import attributes, check_text, encode_path, encode_query, split_uri

_HANDLES = range(0x81000000, 0x82000000)  # TPM 2.0 part 2, 7.5: TPM_HT_PERSISTENT
_INDEXES = range(0x01800000, 0x01C00000)  # TCG registry of reserved handles: NV indices of the owner
_TCTIS = ("device", "swtpm", "mssim", "tabrmd")
_NAMES_FILES = ("file", "dir")


@dataclass(frozen=True)
class Tpm2Uri(KeyUri):
    """`tpm2:handle=0x81000010?tcti=device:/dev/tpmrm0` or `tpm2:file=/path/key.pem`; at most one of handle, file, dir, nv.

    Without any of them (`tpm2:`, `tpm2:?tcti=...`) the URI names the TPM itself, to list or to probe.

    Attributes:
        handle: persistent handle, 0x81000000 to 0x81ffffff.
        file: path of a TSS2 PRIVATE KEY PEM file.
        dir: directory of such files, to list.
        nv: NV index of a counter, 0x01800000 to 0x01bfffff; names no key.
        tcti: how the TPM is reached ("swtpm:path=/run/tpm.sock"); None leaves it to the environment.
        pin_source: where the key's authorisation value is, or None.
        pin_value: always None; an authorisation value does not travel in this URI.
    """

    scheme: ClassVar[str] = "tpm2"

    handle: int | None = None
    file: str | None = None
    dir: str | None = None
    tcti: str | None = None
    pin_source: str | None = None
    pin_value: Secret | None = None
    nv: int | None = None

    def __post_init__(self) -> None:
        texts = {"file": self.file, "dir": self.dir, "tcti": self.tcti, "pin-source": self.pin_source}
        check_text(texts, "tpm2: URI")

    @classmethod
    def parse(cls, text: str) -> Tpm2Uri:
        """Read a `tpm2:` URI.

        Raises:
            UriError: unknown attributes, two of handle, file, dir and nv, a handle that is not a persistent one, an index
                that is not the owner's, or a TCTI that is not one of device, swtpm, mssim and tabrmd (a TCTI names a library or a command to run).
        """
        path, query = split_uri(text, cls.scheme)
        named = attributes(path, ";", ("handle", "nv", *_NAMES_FILES), "tpm2: URI")
        if len(named) > 1:
            raise UriError("tpm2: URI: only one of handle, file, dir and nv names something")
        options = attributes(query, "&", ("tcti", "pin-source"), "tpm2: URI")
        handle, index = named.get("handle"), named.get("nv")
        return cls(
            handle=None if handle is None else _number(handle, "handle", _HANDLES),
            nv=None if index is None else _number(index, "nv", _INDEXES),
            file=named.get("file"),
            dir=named.get("dir"),
            tcti=checked_tcti(options["tcti"]) if "tcti" in options else None,
            pin_source=options.get("pin-source"),
        )

    def __str__(self) -> str:
        path = f"handle=0x{self.handle:08x}" if self.handle is not None else ""
        path = f"nv=0x{self.nv:08x}" if self.nv is not None else path
        for name in _NAMES_FILES:
            value = getattr(self, name)
            path = f"{name}={encode_path(value)}" if value is not None else path
        options = (("tcti", self.tcti), ("pin-source", self.pin_source))
        query = "&".join(f"{name}={encode_query(value)}" for name, value in options if value is not None)
        return f"tpm2:{path}" + (f"?{query}" if query else "")


def checked_tcti(text: str) -> str:
    """A TCTI as tpm2-tools spell it, without the library's file name around it.

    Raises:
        UriError: not one of device, swtpm, mssim and tabrmd.
    """
    check_text({"tcti": text}, "tpm2: URI")
    name, colon, conf = text.partition(":")
    name = re.sub(r"^libtss2-tcti-(\w+)\.so[.0-9]*$", r"\1", name)
    if name not in _TCTIS:
        raise UriError(f"tpm2: the TCTI must be one of {', '.join(_TCTIS)}", hint="for example device:/dev/tpmrm0")
    return name + (colon + conf if conf else "")


def _number(text: str, what: str, allowed: range) -> int:
    if not re.fullmatch(r"0[xX][0-9a-fA-F]{1,8}|[0-9]{1,10}", text):
        raise UriError(f"tpm2: URI: the {what} is not a number", hint=f"for example {what}=0x{allowed.start + 16:08x}")
    value = int(text, 0) if text[:2].lower() == "0x" else int(text)
    if value not in allowed:
        kind = "persistent handles are" if what == "handle" else "NV indices of the owner are"
        raise UriError(f"tpm2: URI: {kind} 0x{allowed.start:08x} to 0x{allowed.stop - 1:08x}")
    return value
