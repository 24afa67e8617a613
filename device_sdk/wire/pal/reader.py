"""The body of an answer to `/pal`, in either form."""

from __future__ import annotations

from device_sdk.errors import WireError
from device_sdk.wire.pal.entry import PalEntry
from device_sdk.wire.pal.json_form import read_json
from device_sdk.wire.pal.xml_form import read_xml

MAX_PAL_BYTES = 1024 * 1024
_BOM = b"\xef\xbb\xbf"


def read_pal(body: bytes) -> tuple[PalEntry, ...]:
    """The entries of a package availability list, in its order; which form it has is seen from its first character.

    Raises:
        WireError: longer than MAX_PAL_BYTES, or neither form; see read_xml and read_json.
    """
    if len(body) > MAX_PAL_BYTES:
        raise WireError(f"the package list is larger than {MAX_PAL_BYTES} bytes", what="pal")
    text = body.removeprefix(_BOM)
    return read_xml(text) if text.lstrip()[:1] == b"<" else read_json(text)
