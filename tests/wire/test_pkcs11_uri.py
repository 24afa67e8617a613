"""`pkcs11:` URIs: RFC 7512, and what is refused where it leaves a choice."""

from __future__ import annotations

import random
from dataclasses import fields, replace
from urllib.parse import quote

import pytest

from device_sdk.errors import UriError
from device_sdk.model.secret import Secret
from device_sdk.wire.key_uri import parse_key_uri
from device_sdk.wire.key_uri.pkcs11 import OBJECT_TYPES, Pkcs11Uri

RFC_EXAMPLES = [
    ("pkcs11:", {}),
    ("pkcs11:object=my-pubkey;type=public", {"label": "my-pubkey", "object_type": "public"}),
    (
        "pkcs11:object=my-key;type=private?pin-source=file:/etc/token",
        {"label": "my-key", "object_type": "private", "pin_source": "file:/etc/token"},
    ),
    (
        (
            "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;model=1.0;"
            "object=my-certificate;type=cert;id=%69%95%3E%5C%F4%BD%EC%91;serial=?pin-source=file:/etc/token_pin"
        ),
        {
            "token": "The Software PKCS#11 Softtoken",
            "manufacturer": "Snake Oil, Inc.",
            "model": "1.0",
            "label": "my-certificate",
            "object_type": "cert",
            "key_id": b"\x69\x95\x3e\x5c\xf4\xbd\xec\x91",
            "serial": "",
            "pin_source": "file:/etc/token_pin",
        },
    ),
    (
        "pkcs11:object=my-sign-key;type=private?module-name=mypkcs11",
        {"label": "my-sign-key", "object_type": "private", "module_name": "mypkcs11"},
    ),
    (
        "pkcs11:object=my-sign-key;type=private?module-path=/mnt/libmypkcs11.so.1",
        {"label": "my-sign-key", "object_type": "private", "module_path": "/mnt/libmypkcs11.so.1"},
    ),
    ("pkcs11:slot-description=Sun%20Metaslot", {"slot_description": "Sun Metaslot"}),
    (
        "pkcs11:library-manufacturer=Snake%20Oil,%20Inc.;library-description=Soft%20Token%20Library;library-version=1.23",
        {
            "library_manufacturer": "Snake Oil, Inc.",
            "library_description": "Soft Token Library",
            "library_version": (1, 23),
        },
    ),
    (
        "pkcs11:token=My%20token%25%20created%20by%20Joe;library-version=3;id=%01%02%03%Ba%dd%Ca%fe%04%05%06",
        {
            "token": "My token% created by Joe",
            "library_version": (3, 0),
            "key_id": bytes.fromhex("010203baddcafe040506"),
        },
    ),
    (
        "pkcs11:token=A%20name%20with%20a%20substring%20%25%3B;object=my-certificate;type=cert",
        {"token": "A name with a substring %;", "label": "my-certificate", "object_type": "cert"},
    ),
    (
        "pkcs11:token=Name%20with%20a%20small%20A%20with%20acute:%20%C3%A1;object=my-certificate;type=cert",
        {"token": "Name with a small A with acute: á", "label": "my-certificate", "object_type": "cert"},
    ),
    (
        "pkcs11:token=my-token;object=my-certificate;type=cert?pin-source=file:/etc/token_pin&vendor-bbb=value-b",
        {
            "token": "my-token",
            "label": "my-certificate",
            "object_type": "cert",
            "pin_source": "file:/etc/token_pin",
            "vendor": (("vendor-bbb", "value-b"),),
        },
    ),
]


@pytest.mark.parametrize(("text", "expected"), RFC_EXAMPLES)
def test_rfc7512_section_3_examples(text: str, expected: dict[str, object]) -> None:
    """Every example of RFC 7512 section 3, but for its vendor attribute of the path, reads as the RFC says."""
    uri = Pkcs11Uri.parse(text)
    assert uri == Pkcs11Uri(**expected)  # type: ignore[arg-type]  # values by field name
    assert Pkcs11Uri.parse(str(uri)) == uri


def test_rfc7512_section_3_pin_value_example() -> None:
    uri = Pkcs11Uri.parse(
        "pkcs11:token=Software%20PKCS%2311%20softtoken;manufacturer=Snake%20Oil,%20Inc.?pin-value=the-pin"
    )
    assert uri.pin_value is not None
    assert uri.pin_value.reveal() == b"the-pin"
    assert "the-pin" not in str(uri) + repr(uri)
    assert str(uri) == "pkcs11:token=Software%20PKCS%2311%20softtoken;manufacturer=Snake%20Oil,%20Inc."


def test_unknown_path_attribute_is_refused() -> None:
    """RFC 7512 section 2.5 leaves an unknown path attribute to match nothing; here it is an error that names it."""
    with pytest.raises(UriError, match="vendor-aaa"):
        Pkcs11Uri.parse("pkcs11:token=my-token;vendor-aaa=value-a")


@pytest.mark.parametrize("scheme", ["PKCS11", "Pkcs11"])
def test_scheme_in_any_case(scheme: str) -> None:
    """RFC 3986 section 3.1: schemes are case-insensitive."""
    assert str(parse_key_uri(f"{scheme}:object=a")) == "pkcs11:object=a"


@pytest.mark.parametrize(
    "text",
    [
        "pkcs11",
        "pkcs12:object=a",
        "pkcs11:object",
        "pkcs11:object=a;",
        "pkcs11:;object=a",
        "pkcs11:object=a;object=b",
        "pkcs11:object=a;object=a",
        "pkcs11:object=a b",
        "pkcs11:object=a/b",
        "pkcs11:object=a#b",
        "pkcs11:object=ä",
        "pkcs11:object=%zz",
        "pkcs11:object=%4",
        "pkcs11:object=%ff",
        "pkcs11:object=%00",
        "pkcs11:type=key",
        "pkcs11:type=",
        "pkcs11:slot-id=x",
        "pkcs11:slot-id=-1",
        "pkcs11:slot-id=0x1",
        "pkcs11:slot-id=",
        "pkcs11:slot-id=18446744073709551616",
        "pkcs11:library-version=1.",
        "pkcs11:library-version=.1",
        "pkcs11:library-version=1.2.3",
        "pkcs11:library-version=256",
        "pkcs11:pin-source=file:/a",
        "pkcs11:module-path=/a.so",
        "pkcs11:?token=a",
        "pkcs11:?pin_source=/a",
        "pkcs11:?pin-file=/a",
        "pkcs11:?pinsource=/a",
        "pkcs11:?x=1",
        "pkcs11:?-=1",
        "pkcs11:?module-path=relative.so",
        "pkcs11:?module-path=",
        "pkcs11:?module-name=a/b",
        "pkcs11:?module-name=",
        "pkcs11:?module-name=a&module-path=/a.so",
        "pkcs11:?pin-source=/a&pin-source=/b",
        "pkcs11:?x-a=1&x-a=2",
        "pkcs11:?pin-source=/a;b",
        "pkcs11:object=" + "a" * 5000,
        "pkcs11:object=" + "a" * 1025,
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(UriError):
        Pkcs11Uri.parse(text)


def test_both_pin_source_and_pin_value_are_refused_without_showing_the_pin() -> None:
    """RFC 7512 section 2.4: a URI with both MUST be refused."""
    with pytest.raises(UriError) as caught:
        Pkcs11Uri.parse("pkcs11:?pin-source=/a&pin-value=54321")
    assert "54321" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["pkcs11:?pin-value=543%ff21", "pkcs11:?pin-value=543 21", "pkcs11:?pin-value=543%0021"]
)
def test_a_broken_pin_value_is_not_shown(text: str) -> None:
    with pytest.raises(UriError) as caught:
        Pkcs11Uri.parse(text)
    assert "543" not in "".join(map(str, (caught.value, caught.value.__cause__, caught.value.facts())))


def test_vendor_attributes_of_the_query_are_kept() -> None:
    """RFC 7512 section 2.3: vendor attributes may be in the query; the SDK keeps them in order."""
    uri = Pkcs11Uri.parse("pkcs11:object=a?x-b=2&x-a=1%261")
    assert uri.vendor == (("x-b", "2"), ("x-a", "1&1"))
    assert uri.vendor_value("x-a") == "1&1"
    assert uri.vendor_value("x-c") is None
    assert str(uri) == "pkcs11:object=a?x-b=2&x-a=1%261"


def test_canonical_form_has_one_order_and_no_pin() -> None:
    """RFC 7512 section 2.6: order and case of escapes do not matter; equal URIs have equal texts here."""
    one = Pkcs11Uri.parse("pkcs11:id=%ab%41;type=private;object=a%2db;token=t?pin-value=1&module-path=/m.so")
    other = Pkcs11Uri.parse("pkcs11:token=t;object=a-b;type=private;id=%ABA?module-path=%2Fm.so")
    assert one == other
    assert str(one) == str(other) == "pkcs11:token=t;object=a-b;type=private;id=%AB%41?module-path=/m.so"
    assert hash(one) == hash(other)


def _random_text(rng: random.Random) -> str:
    alphabet = "aZ09-._~:[]@!$'()*+,=&;?/|#% \"<>\\^`{}\t\n\x7fäß€𝄞"
    return "".join(rng.choice(alphabet) for _ in range(rng.randrange(0, 12)))


def _random_uri(rng: random.Random) -> Pkcs11Uri:
    uri = Pkcs11Uri()
    for item in fields(uri):
        if rng.random() < 0.5:
            continue
        values: dict[str, object] = {
            "library_version": (rng.randrange(256), rng.randrange(256)),
            "slot_id": rng.randrange(1 << 64),
            "object_type": rng.choice(OBJECT_TYPES),
            "key_id": rng.randbytes(rng.randrange(0, 20)),
            "module_name": "softhsm2" + _random_text(rng).replace("/", ""),
            "module_path": "/" + _random_text(rng),
            "pin_value": Secret("hidden"),
            "vendor": (("x-a", _random_text(rng)), ("vendor_b", _random_text(rng))),
        }
        uri = replace(uri, **{item.name: values.get(item.name, _random_text(rng))})  # type: ignore[arg-type]  # by name
    if uri.module_path is not None:
        uri = replace(uri, module_name=None)
    return uri


@pytest.mark.slow
def test_every_uri_survives_being_written_and_read() -> None:
    rng = random.Random(7512)  # noqa: S311  # the same cases in every run
    for _ in range(3000):
        uri = _random_uri(rng)
        text = str(uri)
        assert text.isascii()
        assert "hidden" not in text
        read = Pkcs11Uri.parse(text)
        assert read == replace(uri, pin_value=None)
        assert str(read) == text


def test_every_octet_of_an_id_survives() -> None:
    uri = Pkcs11Uri(key_id=bytes(range(256)))
    assert Pkcs11Uri.parse(str(uri)).key_id == bytes(range(256))
    assert Pkcs11Uri.parse("pkcs11:id=" + quote(bytes(range(256)), safe="")) == uri


def test_noise_is_refused_or_read_but_nothing_else() -> None:
    rng = random.Random(11)  # noqa: S311  # the same cases in every run
    for _ in range(3000):
        text = "pkcs11:" + "".join(rng.choice("object=;type?&pin-%20A/\x00é") for _ in range(rng.randrange(30)))
        try:
            uri = Pkcs11Uri.parse(text)
        except UriError:
            continue
        assert Pkcs11Uri.parse(str(uri)) == replace(uri, pin_value=None)
