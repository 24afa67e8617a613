"""Bleichenbacher's, Manger's and Vaudenay's questions put to the client: 10,000 messages and more for each kind of key.

CALE-10: whatever is wrong with a message, there is one error with one text; CALE-70 and RFC 3218 section 2.3.2: and one time.
Every message has the length and the structure of every other; what differs only the key shows.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from device_sdk.errors import NotForUsError
from device_sdk.keystores.keys import RsaDeviceKey
from device_sdk.protocols.cale.answers import open_document
from device_sdk.protocols.cale.documents import Document
from tests.cale_security.conftest import KEYSTORES
from tests.cale_security.questions import CONTENT, SOUND, answer, answers, questions, until_sharp
from tests.cale_security.ranks import CERTAIN
from tests.cale_security.specimens import FORMS, PLAINTEXT, SECRET, WHOLE, Form, Workshop
from tests.cale_security.watching import Open, Race, descriptors_captured, race, values_near

pytestmark = pytest.mark.slow

RsaKeyIn = Callable[[str], RsaDeviceKey]
URL = "https://edge.example/resource"

TOLERATED = 0.01
"""Differences are failures when they are surely larger than this share of a message's time."""
SHARP = 0.02
"""Differences of this share are meant to be seen; a busy machine gets more messages for that."""
BLUNT = 0.25
"""A measurement that would not see this is none."""
MESSAGES = {Form(): 10_000}
FEWER_MESSAGES = 1_600


def reader(key: RsaDeviceKey) -> Open:
    """What CaleClient.get does with an answer; JSON is expected."""
    return lambda message: open_document(message, key, URL, lambda document: json.loads(document.content))


def run(key: RsaDeviceKey, form: Form, opening: Open, messages: int, leak_us: dict[str, float] | None = None) -> Race:
    makers = Workshop(key.public_key(), form).bad()
    return race(opening, makers, -(-messages // len(makers)), leak_us=leak_us)


@pytest.mark.parametrize(("keystore", "form"), [*itertools.product(KEYSTORES, FORMS), ("file", WHOLE)], ids=str)
@pytest.mark.timeout(600)
def test_cale_10_cale_70_no_oracle_in_error_output_or_time(
    rsa_key_in: RsaKeyIn, tmp_path: Path, keystore: str, form: Form
) -> None:
    key = rsa_key_in(keystore)
    found = open_document(Workshop(key.public_key(), form).good(), key, URL, lambda document: document)
    assert json.loads(found.content)["secret"] == SECRET
    messages = MESSAGES.get(form, FEWER_MESSAGES)
    most = 1 if keystore == "tpm2" else 3  # a TPM's 10,000 take half a minute
    with descriptors_captured(tmp_path / "output") as output:
        raced, judged = until_sharp(lambda: run(key, form, reader(key), messages), form, SHARP, most=most)
    kinds = set[object]().union(*raced.errors.values())
    assert len(kinds) == 1, "the error differs in its text, its facts, its chain or the lines it came through"
    assert raced.messages >= messages
    assert raced.log == []
    assert output.read_bytes() == b""
    assert [str(one) for one in judged if one.shown > allowed(one.name)] == []
    assert judged[0].limit < BLUNT, [str(one) for one in judged]


def allowed(question: str) -> float:
    """What is surely later is a failure, but for the one that CBC itself gives away (docs/cale-security.md)."""
    return 10 * TOLERATED if question == "content padding sound?" else TOLERATED


@pytest.mark.parametrize("form", [*FORMS, WHOLE], ids=str)
def test_the_error_says_nothing_and_holds_nothing(rsa_key_in: RsaKeyIn, form: Form) -> None:
    """One type, one text, no cause, no context; and no plaintext in the variables that a crash reporter would send."""
    key = rsa_key_in("file")
    workshop = Workshop(key.public_key(), form)

    def refuse(document: Document) -> None:
        raise ValueError(f"not wanted: {document.content!r}")

    with pytest.raises(NotForUsError) as caught:
        open_document(workshop.good(), key, URL, refuse)
    error = caught.value
    assert (error.__cause__, error.__context__) == (None, None)
    assert SECRET not in "".join(map(repr, [error, error.facts(), *values_near(error)]))
    for make in workshop.bad().values():
        with pytest.raises(NotForUsError) as other:
            reader(key)(make())
        assert other.value.facts() == error.facts()


# -- the measurement itself


@pytest.mark.parametrize("leak", [0.02, 0.05])
def test_a_leak_is_seen(rsa_key_in: RsaKeyIn, leak: float) -> None:
    """A reader that takes 2 or 5 per cent longer for bad paddings is found out, and by about how much."""
    key, form = rsa_key_in("file"), Form()
    typical = answers(form, run(key, form, reader(key), 600))[0].typical
    later = {name: leak * typical for name in Workshop(key.public_key(), form).bad() if name not in SOUND + CONTENT}
    _, judged = until_sharp(lambda: run(key, form, reader(key), 5000, later), form, leak / 2)
    padding_sound = judged[0]
    assert padding_sound.shift.seen, padding_sound
    assert padding_sound.shift.low < leak * typical < padding_sound.shift.high * 1.5
    assert padding_sound.separation.deviations > CERTAIN
    assert padding_sound.probability < 1e-4


def test_a_reader_that_stops_at_a_bad_padding_is_seen(rsa_key_in: RsaKeyIn) -> None:
    """The textbook's way, without RFC 3218: no content is decrypted if there is no content key."""
    key, form = rsa_key_in("pkcs11"), Form()
    opening = reader(key)

    def naive(message: bytes) -> object:
        at = message.index(b"\x04\x82\x01\x00") + 4
        try:
            key.decrypt(message[at : at + 256], padding.PKCS1v15())
        except ValueError:
            raise NotForUsError("stopped early") from None
        return opening(message)

    found, judged = until_sharp(lambda: run(key, form, naive, 2000), form, SHARP)
    assert judged[0].shown > TOLERATED, judged[0]
    assert len(set[object]().union(*found.errors.values())) > 1


def test_the_paddings_of_a_token_are_seen(rsa_key_in: RsaKeyIn) -> None:
    """Why the SDK takes them off itself: SoftHSM needs some per cent more to say that a padding is bad."""
    key, form = rsa_key_in("pkcs11"), Form()
    key._refused.add(("raw",))  # type: ignore[attr-defined]  # as if the token had no bare RSA
    found, judged = until_sharp(lambda: run(key, form, reader(key), 5000), form, SHARP)
    assert judged[0].shown > TOLERATED, judged[0]
    assert len(set[object]().union(*found.errors.values())) == 1


def test_a_reader_without_a_check_lets_garbage_pass(rsa_key_in: RsaKeyIn) -> None:
    """CALE-09, and why CBC is an oracle by itself: who takes any plaintext tells the attacker which paddings were sound.

    Garbage is no whole response, though.
    """
    key = rsa_key_in("file")
    assert isinstance(key, rsa.RSAPrivateKey)
    garbage = Workshop(key.public_key(), Form()).bad()["sound padding, no JSON"]()
    assert len(open_document(garbage, key, URL, lambda document: document.content)) == len(PLAINTEXT)
    with pytest.raises(NotForUsError):
        reader(key)(garbage)
    make = Workshop(key.public_key(), WHOLE).bad()["sound padding, no JSON"]
    for _ in range(50):
        with pytest.raises(NotForUsError):
            open_document(make(), key, URL, lambda document: document.content)


def test_questions_cover_every_class(rsa_key_in: RsaKeyIn) -> None:
    public = rsa_key_in("file").public_key()
    for form in FORMS:
        makers = Workshop(public, form).bad()
        asked = questions(form, makers)
        assert {name for sides in asked.values() for side in sides for name in side} == set(makers)
        rounds = race(_refuse, makers, 25, warm_up=0).rounds
        assert {answer(name, sides, rounds).name for name, sides in asked.items()} == set(asked)


def _refuse(message: bytes) -> object:
    raise NotForUsError(f"{len(message)} bytes")
