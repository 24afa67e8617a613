"""The XML form of a package availability list (RFC 8295 section 2.1.2), read as it comes, without a tree in memory.

The printed schema cannot be used as it stands (its patterns lack backslashes), so its rules are checked here.
"""

from __future__ import annotations

from typing import NoReturn
from xml.parsers import expat

from device_sdk.errors import WireError
from device_sdk.wire.pal.entry import MAX_ENTRIES, MAX_TEXT, PalEntry, make_entry

NAMESPACE = "urn:ietf:params:xml:ns:pal"

_CHILDREN = {
    (): ("pal",),
    ("pal",): ("message",),
    ("pal", "message"): ("type", "date", "size", "info"),
    ("pal", "message", "info"): ("dn", "ski", "iasn", "uri"),
    ("pal", "message", "info", "iasn"): ("issuer", "serial"),
}
_ENCODINGS = (None, "UTF-8", "US-ASCII")
_MAX_CHARACTERS = 2 * MAX_TEXT  # of one element: a ski has two digits an octet


def read_xml(body: bytes) -> tuple[PalEntry, ...]:
    """The entries, in the order of the list.

    Args:
        body: of bounded length.

    Raises:
        WireError: not such a list; a document type or entities; elements or attributes the schema does not have, twice,
            in another order or in another namespace; more than MAX_ENTRIES entries.
    """
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.XmlDeclHandler = reader.declaration
    parser.StartDoctypeDeclHandler = reader.doctype
    parser.EntityDeclHandler = reader.doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise WireError(f"the package list is not XML: {expat.ErrorString(error.code)}", what="pal") from error
    except (LookupError, ValueError) as error:  # an encoding that expat asks Python for
        raise WireError("the package list is in an encoding that is not read here", what="pal") from error
    return tuple(reader.entries)


class _Reader:
    def __init__(self) -> None:
        self.entries: list[PalEntry] = []
        self._path: tuple[str, ...] = ()
        self._fields: dict[str, str] = {}
        self._pieces: list[str] = []
        self._length = 0

    def declaration(self, _: str, encoding: str | None, __: int) -> None:
        """UTF-8 is what everybody writes; the rest is a way past filters."""
        if encoding is not None and encoding.upper() not in _ENCODINGS:
            _refuse("an encoding that is not UTF-8")

    def doctype(self, *_: object) -> NoReturn:
        _refuse("a document type declaration")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        namespace, _, local = name.rpartition(" ")
        allowed = _CHILDREN.get(self._path, ())
        if namespace != NAMESPACE or local not in allowed:
            _refuse("an element that does not belong there")
        if any(" " not in attribute for attribute in attributes):  # xsi:schemaLocation and the like are somebody else's
            _refuse("an attribute")
        if "".join(self._pieces).strip():
            _refuse("text between its elements")
        self._path = (*self._path, local)
        if local == "message":
            self._begin()
        elif self._path[:2] == ("pal", "message"):
            self._note(local, allowed)
        self._pieces, self._length = [], 0

    def end(self, _: str) -> None:
        name, text = self._path[-1], "".join(self._pieces)
        if self._path in _CHILDREN:
            if text.strip():
                _refuse("text between its elements")
        else:
            self._fields[name] = text.strip()
        self._pieces, self._length = [], 0
        self._path = self._path[:-1]
        if name == "message":
            self.entries.append(self._entry())

    def text(self, data: str) -> None:
        self._length += len(data)
        if self._length > _MAX_CHARACTERS:
            _refuse("an element that is too long")
        self._pieces.append(data)

    def _begin(self) -> None:
        if len(self.entries) >= MAX_ENTRIES:
            _refuse(f"more than {MAX_ENTRIES} entries")
        self._fields = {}

    def _note(self, name: str, siblings: tuple[str, ...]) -> None:
        """An xsd:sequence has an order, and each of its elements once; `info` has one element at all."""
        later = siblings if self._path[-2] == "info" else siblings[siblings.index(name) :]
        if any(one in self._fields for one in later):
            _refuse(f"an element {name} twice, out of order, or beside another choice")
        self._fields[name] = ""

    def _entry(self) -> PalEntry:
        fields = self._fields
        for name in ("type", "size", "info"):
            if name not in fields:
                _refuse(f"an entry without {name}")
        if "iasn" in fields:
            if not {"issuer", "serial"} <= set(fields):
                _refuse("an iasn that is not issuer and serial")
            info: tuple[str, object] = "iasn", (fields["issuer"], _number(fields["serial"]))
        else:
            chosen = next((name for name in ("dn", "ski", "uri") if name in fields), "")
            info = chosen, fields.get(chosen)
        return make_entry(fields["type"], _number(fields["size"]), info, fields.get("date"))


def _number(text: str) -> int | None:
    """A nonNegativeInteger; its canonical form has no sign, and 60 digits are more than any has here."""
    digits = text.removeprefix("+")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 60 else None


def _refuse(why: str) -> NoReturn:
    raise WireError(f"the package list has {why}", what="pal")
