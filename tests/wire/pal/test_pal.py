"""Package availability lists in both forms: what is read, and what is refused (P-05 to P-13, P-20; AMB-07)."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from device_sdk.errors import WireError
from device_sdk.wire.pal import IssuerSerial, PalEntry, read_pal
from device_sdk.wire.pal.entry import MAX_ENTRIES
from device_sdk.wire.pal.reader import MAX_PAL_BYTES

URI = "https://est.example/.well-known/est/cacerts"
ISSUER = "CN=Plant CA,O=Example"
BIG = (1 << 159) + 1

# RFC 8295 section 2.1.3, as printed: a start entry with a size and a date, and a serial number of 0.
PRINTED = b"""
   [
     {
       "type": "0003",
       "date": "2016-12-29T09:28:00Z",
       "size": 1234,
       "info":
        {
         "uri": "https://www.example.com/.well-known/est/eecerts/1234"
        }
     },

     {
       "type": "0006",
       "date": "2016-12-29T09:28:00Z",
       "size": 1234,
       "info":
        {
         "iasn":
          {
           "issuer": "CN=Sean Turner,O=sn3rd,C=US",
           "serial": 0
          }
        }
     }
   ]
"""
SAME = [
    PalEntry("0002", 2120, uri=URI, date=datetime(2026, 3, 1, 8, tzinfo=UTC)),
    PalEntry("0010", 0, certificate=IssuerSerial(ISSUER, BIG)),
    PalEntry("0010", 0, certificate=bytes.fromhex("00ff10")),
    PalEntry("0017", 0, certificate="CN=d\u00f6rte,O=Example"),
    PalEntry("0001", 0, uri="https://est.example/.well-known/est/pal/2"),
]


def xml(*messages: str, root: str = 'pal xmlns="urn:ietf:params:xml:ns:pal"', head: str = "") -> bytes:
    return f"{head}<{root}>{''.join(messages)}</{root.split(maxsplit=1)[0]}>".encode()


def message(kind: str = "0002", size: str = "7", info: str = f"<uri>{URI}</uri>", date: str = "") -> str:
    return f"<message><type>{kind}</type>{date}<size>{size}</size><info>{info}</info></message>"


def test_both_forms_say_the_same():
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<!-- made for a test -->\n'
    found = xml(
        "\n  ",
        message(size="2120", date="<date>2026-03-01T08:00:00Z</date>"),
        message("0010", "0", f"<iasn><issuer>{ISSUER}</issuer>\n<serial>{BIG}</serial></iasn>"),
        message("0010", "0", "<ski>00Ff10</ski>"),
        message("0017", "0", "<dn>CN=d&#xf6;rte,O=Example</dn>"),
        message("0001", "0", "<uri>https://est.example/.well-known/est/pal/2</uri>"),
        head=head,
    )
    other = json.dumps(
        [
            {"type": "0002", "date": "2026-03-01T08:00:00Z", "size": 2120, "info": {"uri": URI}},
            {"type": "0010", "size": 0, "info": {"iasn": {"issuer": ISSUER, "serial": BIG}}},
            {"type": "0010", "size": 0, "info": {"ski": "00fF10"}},
            {"type": "0017", "size": 0, "info": {"dn": "CN=d\u00f6rte,O=Example"}, "comment": "skipped"},
            {"type": "0001", "size": 0, "info": {"uri": "https://est.example/.well-known/est/pal/2"}},
        ]
    ).encode()
    assert list(read_pal(found)) == SAME
    assert list(read_pal(b"\xef\xbb\xbf" + found)) == SAME
    assert list(read_pal(other)) == SAME


def test_amb_07_the_printed_example():
    when = datetime(2016, 12, 29, 9, 28, tzinfo=UTC)
    assert read_pal(PRINTED) == (
        PalEntry("0003", 1234, uri="https://www.example.com/.well-known/est/eecerts/1234", date=when),
        PalEntry("0006", 1234, certificate=IssuerSerial("CN=Sean Turner,O=sn3rd,C=US", 0), date=when),
    )


@pytest.mark.parametrize("body", [b"[]", xml(), xml(root='p:pal xmlns:p="urn:ietf:params:xml:ns:pal"')])
def test_p_05_an_empty_list(body):
    assert read_pal(body) == ()


def test_a_prefix_and_somebody_elses_attributes_do_not_matter():
    root = (
        'p:pal xmlns:p="urn:ietf:params:xml:ns:pal" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        'xsi:schemaLocation="urn:ietf:params:xml:ns:pal pal.xsd"'
    )
    assert read_pal(xml(message().replace("</", "</p:").replace("<", "<p:").replace("<p:/p:", "</p:"), root=root))


def test_the_largest_list():
    assert len(read_pal(xml(message() * MAX_ENTRIES))) == MAX_ENTRIES


BILLION = '<!DOCTYPE pal [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
REFUSED_XML = {
    "another namespace": (xml(message(), root='pal xmlns="urn:example"'), "does not belong"),
    "no namespace": (xml(message(), root="pal"), "does not belong"),
    "another root": (xml(root='list xmlns="urn:ietf:params:xml:ns:pal"'), "does not belong"),
    "document type": (xml(message(), head="<!DOCTYPE pal>"), "document type"),
    "external document type": (xml(message(), head='<!DOCTYPE pal SYSTEM "file:///etc/passwd">'), "document type"),
    "entities": (xml(message(size="&b;"), head=BILLION), "document type"),
    "an undefined entity": (xml(message(size="&b;")), "not XML"),
    "two choices": (xml(message(info=f"<uri>{URI}</uri><dn>CN=a</dn>")), "twice, out of order, or beside"),
    "one choice twice": (xml(message(info=f"<uri>{URI}</uri><uri>{URI}</uri>")), "twice"),
    "an unknown choice": (xml(message(info="<url>x</url>")), "does not belong"),
    "no choice": (xml(message(info="")), "none of dn"),
    "text in place of a choice": (xml(message(info=URI)), "text between"),
    "no size": (xml(f"<message><type>0002</type><info><uri>{URI}</uri></info></message>"), "without size"),
    "no type": (xml(f"<message><size>1</size><info><uri>{URI}</uri></info></message>"), "without type"),
    "no info": (xml("<message><type>0002</type><size>1</size></message>"), "without info"),
    "three digits": (xml(message("002")), "four digits"),
    "other digits": (xml(message("000\u0662")), "four digits"),
    "size twice": (xml(message(size="1</size><size>2")), "twice"),
    "out of order": (xml(f"<message><size>1</size><type>0002</type><info><uri>{URI}</uri></info></message>"), "order"),
    "a negative size": (xml(message(size="-1")), "number of bytes"),
    "a size of words": (xml(message(size="many")), "number of bytes"),
    "a size beyond all disks": (xml(message(size="9" * 19)), "number of bytes"),
    "a size of many digits": (xml(message(size="9" * 1000)), "number of bytes"),
    "an attribute": (xml(message().replace("<type>", '<type x="1">')), "attribute"),
    "an element in a field": (xml(message(size="<dn>1</dn>")), "does not belong"),
    "text between entries": (xml("hello", message()), "text between"),
    "a date with fractions": (xml(message(date="<date>2026-03-01T08:00:00.5Z</date>")), "YYYY"),
    "a leap second": (xml(message(date="<date>2016-12-31T23:59:60Z</date>")), "does not exist"),
    "a date that is none": (xml(message(date="<date>2026-02-30T08:00:00Z</date>")), "does not exist"),
    "a zone": (xml(message(date="<date>2026-03-01T08:00:00+01:00</date>")), "YYYY"),
    "half a ski": (xml(message(info="<ski>abc</ski>")), "hexadecimal"),
    "no serial": (xml(message(info="<iasn><issuer>CN=a</issuer></iasn>")), "issuer and serial"),
    "a negative serial": (xml(message(info="<iasn><issuer>CN=a</issuer><serial>-1</serial></iasn>")), "serial number"),
    "a long serial": (
        xml(message(info=f"<iasn><issuer>CN=a</issuer><serial>{1 << 160}</serial></iasn>")),
        "serial number",
    ),
    "a long uri": (xml(message(info=f"<uri>https://h/{'a' * 1024}</uri>")), "1 to 1024"),
    "a very long uri": (xml(message(info=f"<uri>https://h/{'a' * 9000}</uri>")), "too long"),
    "a uri with a space": (xml(message(info="<uri>https://h/a b</uri>")), "no URI has"),
    "a name with a line break": (xml(message(info="<dn>CN=a&#10;b</dn>")), "control"),
    "too many": (xml(message() * (MAX_ENTRIES + 1)), "more than 1024"),
    "two documents": (xml(message()) * 2, "not XML"),
    "half a document": (xml(message())[:-3], "not XML"),
    "another encoding": (xml(message(), head='<?xml version="1.0" encoding="ISO-8859-1"?>'), "UTF-8"),
    "an unknown encoding": (xml(message(), head='<?xml version="1.0" encoding="rot13"?>'), "UTF-8"),
    "not UTF-8": (xml(message(info="<dn>CN=a</dn>")).replace(b"CN=a", b"CN=\xff"), "not XML"),
    "deep": (b"<a>" * 10_000, "does not belong"),
}


@pytest.mark.parametrize(("body", "says"), REFUSED_XML.values(), ids=REFUSED_XML)
def test_p_20_xml_that_is_refused(body, says):
    with pytest.raises(WireError, match=says) as caught:
        read_pal(body)
    assert caught.value.what == "pal"


def one(**fields: object) -> bytes:
    whole = {"type": "0002", "size": 7, "info": {"uri": URI}} | fields
    return json.dumps([{name: value for name, value in whole.items() if value is not ...}]).encode()


REFUSED_JSON = {
    "an object": (b"{}", "array"),
    "text": (b"hello", "not JSON"),
    "nothing": (b"", "not JSON"),
    "UTF-16": ('[{"type":"0002"}]'.encode("utf-16"), "not UTF-8"),
    "entries that are none": (b"[1]", "no object"),
    "no size": (one(size=...), "without size"),
    "no type": (one(type=...), "without type"),
    "no info": (one(info=...), "without info"),
    "a type that is a number": (one(type=2), "four digits"),
    "a size that is text": (one(size="7"), "number of bytes"),
    "a size with fractions": (one(size=7.5), "number of bytes"),
    "true for a size": (one(size=True), "number of bytes"),
    "no number at all": (one().replace(b"7,", b"NaN,"), "not JSON"),
    "a size of 5000 digits": (one().replace(b"7,", b"9" * 5000 + b","), "not JSON"),
    "two choices": (one(info={"uri": URI, "dn": "CN=a"}), "exactly one"),
    "no choice": (one(info={}), "exactly one"),
    "an unknown choice": (one(info={"url": URI}), "none of dn"),
    "info that is text": (one(info=URI), "exactly one"),
    "a member twice": (one().replace(b'"size"', b'"type":"0026","size"'), "not JSON"),
    "a serial with fractions": (one(info={"iasn": {"issuer": "CN=a", "serial": 1.0}}), "serial number"),
    "an iasn with more": (one(info={"iasn": {"issuer": "CN=a", "serial": 1, "x": 1}}), "issuer and serial"),
    "an empty name": (one(info={"dn": ""}), "1 to 1024"),
    "a uri of letters that are not ASCII": (one(info={"uri": "https://d\u00f6rte/"}), "no URI has"),
    "a date that is a number": (one(date=0), "YYYY"),
    "a lone surrogate": (one(info={"dn": "CN=\ud800"}), "control"),
    "too many": (b"[" + b",".join([one()[1:-1]] * (MAX_ENTRIES + 1)) + b"]", "more than 1024"),
    "deep": (b"[" * 100_000, "not JSON"),
    "large": (b" " * (MAX_PAL_BYTES + 1), "larger than"),
}


@pytest.mark.parametrize(("body", "says"), REFUSED_JSON.values(), ids=REFUSED_JSON)
def test_p_20_json_that_is_refused(body, says):
    with pytest.raises(WireError, match=says):
        read_pal(body)
