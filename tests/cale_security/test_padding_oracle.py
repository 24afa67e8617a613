"""Bleichenbacher's, Manger's and Vaudenay's questions put to the client: 10,000 messages and more for each kind of key.

CALE-10: whatever is wrong with a message, there is one error with one text; CALE-70 and RFC 3218 section 2.3.2: and one time.
Every message has the length and the structure of every other; what differs only the key shows.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from device_sdk.client.cale.files import decrypt_document
from device_sdk.client.cale.slots import FIRST_S, FailureSlots
from device_sdk.errors import NotForUsError
from device_sdk.keystores.keys import RsaDeviceKey
from device_sdk.protocols.cale.answers import open_document
from device_sdk.protocols.cale.documents import Document
from tests.cale_security.conftest import KEYSTORES
from tests.cale_security.questions import CONTENT, SOUND, Sight, answer, answers, questions, until_sharp
from tests.cale_security.ranks import CERTAIN
from tests.cale_security.specimens import FORMS, PLAINTEXT, SECRET, Form, Workshop
from tests.cale_security.watching import Makers, Open, Race, descriptors_captured, race, values_near
from tests.cms.handmade import enveloped, key_transport, pkcs1_block, rsa_block

pytestmark = pytest.mark.slow

RsaKeyIn = Callable[[str], RsaDeviceKey]
URL = "https://edge.example/resource"

TOLERATED = 0.01
"""Differences are failures when they are surely larger than this share of a message's time."""
SHARP = {Form(): 0.02}
"""Differences of this share are meant to be seen; a busy machine gets more messages for that."""
LESS_SHARP = 0.05
BLUNT = 0.25
"""A measurement that would not see this is none."""
MESSAGES = {Form(): 10_000}
FEWER_MESSAGES = 1_600
WITH_SLOTS = 360  # each takes a slot
KEYS_AND_FORMS = [
    *((keystore, Form()) for keystore in KEYSTORES),
    # OpenSSL takes every padding off itself
    *(("file", form) for form in FORMS[1:]),
    # of tokens and TPMs the SDK does, in one place, as their bare RSA operation knows of no form; nor do contents of keys
    ("pkcs11", Form("sha256", gcm=True)),
    ("tpm2", Form("sha1", gcm=True)),
]
"""Every keystore with the draft's form and with OAEP; every form with a key in a file."""


def reader(key: RsaDeviceKey) -> Open:
    """What CaleClient.get does with an answer; JSON is expected."""
    return lambda message: open_document(message, key, URL, lambda document: json.loads(document.content))


def run(makers: Makers, opening: Open, messages: int, leak: dict[str, float] | None = None, warm_up: int = 8) -> Race:
    return race(opening, makers, -(-messages // len(makers)), leak=leak, warm_up=warm_up)


def is_told(sight: Sight) -> bool:
    """Whether more messages would say nothing new of a reader that is to be found out."""
    return sight.shown > TOLERATED


@pytest.mark.parametrize(("keystore", "form"), KEYS_AND_FORMS, ids=str)
@pytest.mark.timeout(600)
def test_cale_10_cale_70_no_oracle_in_error_output_or_time(
    rsa_key_in: RsaKeyIn, tmp_path: Path, keystore: str, form: Form
) -> None:
    key = rsa_key_in(keystore)
    workshop = Workshop(key.public_key(), form)
    found = open_document(workshop.good(), key, URL, lambda document: document)
    assert json.loads(found.content)["secret"] == SECRET
    messages, sharp = MESSAGES.get(form, FEWER_MESSAGES), SHARP.get(form, LESS_SHARP)
    most = messages if keystore == "tpm2" else 2 * messages  # a TPM's 10,000 take half a minute
    makers, opening = workshop.bad(), reader(key)
    with descriptors_captured(tmp_path / "output") as output:
        raced, judged = until_sharp(
            lambda count: run(makers, opening, count),
            form,
            lambda sight: sight.limit <= sharp,
            first=messages,
            step=messages // 5,
            most=most,
            patience_s=40,
        )
    kinds = set[object]().union(*raced.errors.values())
    assert len(kinds) == 1, "the error differs in its text, its facts, its chain or the lines it came through"
    assert raced.messages >= messages
    assert raced.log == []
    assert output.read_bytes() == b""
    assert [str(one) for one in judged if one.shown > TOLERATED] == []
    assert judged[0].limit < BLUNT, [str(one) for one in judged]


@pytest.mark.parametrize("keystore", KEYSTORES)
@pytest.mark.timeout(600)
def test_cale_10_one_timing_class_of_failures(rsa_key_in: RsaKeyIn, keystore: str) -> None:
    """As programs open messages: with nothing left of what the bare reader shows of text whose end alone is wrong."""
    key, form = rsa_key_in(keystore), Form()

    def opening(message: bytes) -> object:
        return decrypt_document(message, key, check=json.loads)

    raced = run(Workshop(key.public_key(), form).bad(), opening, WITH_SLOTS, warm_up=2)
    assert len(set[object]().union(*raced.errors.values())) == 1
    assert raced.log == []
    assert [str(one) for one in answers(form, raced) if one.shown > TOLERATED / 10] == []
    assert min(min(times.values()) for times in raced.rounds) >= 1e6 * FIRST_S


def test_slots_grow_to_twice_what_was_needed_and_never_shrink() -> None:
    slots = FailureSlots()
    took = [_failure_s(slots, pause) for pause in (0.012, 0.0, 0.012, 0.0, 0.012, 0.0)]
    assert min(took[4:]) >= 4 * FIRST_S, "the third that waits for its key makes the slot grow, for what is quick, too"
    spun = FailureSlots()
    began = time.thread_time()
    with spun.one(1000):
        while time.thread_time() - began < 0.03:
            pass
    assert _failure_s(spun, 0.0) >= 0.060, "work counts at once, and after a success"
    assert _failure_s(spun, 0.0, size=100) >= 0.060, "of other sizes, too: each step shows itself once in a process"


def test_a_slot_is_as_long_as_a_check_of_so_many_octets_takes() -> None:
    assert _failure_s(FailureSlots(), 0.0, size=400_000) >= FIRST_S + 0.080


def test_who_has_a_content_key_of_his_own_learns_nothing_of_another(rsa_key_in: RsaKeyIn) -> None:
    """Two recipients of one key: the attacker's, and a captured one whose padding he asks about (Vaudenay, by the error)."""
    key = rsa_key_in("file")
    messages = [two_recipients(key.public_key(), sound=sound) for sound in (False, True) for _ in range(4)]
    assert [reader(key)(message) for message in messages] == [{"of": "the attacker"}] * 8
    assert [
        json.loads(decrypt_document(message, key, check=json.loads).content)["of"] for message in messages[3:5]
    ] == [
        "the attacker",
        "the attacker",
    ]


@pytest.mark.parametrize("form", FORMS, ids=str)
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


def test_a_leak_is_seen(rsa_key_in: RsaKeyIn) -> None:
    """A reader that takes 2 per cent longer for bad paddings is found out, and by about how much; so is one with 5.

    Where the interval is 0.7 of the leak, the leak is 13 standard deviations, and more than 9 to the classifier.
    """
    key, form = rsa_key_in("file"), Form()
    makers = Workshop(key.public_key(), form).bad()
    unsound = [name for name in makers if name not in SOUND + CONTENT]
    raced, judged = until_sharp(
        lambda count: run(makers, reader(key), count, dict.fromkeys(unsound, 0.02)),
        form,
        lambda sight: sight.limit <= 0.7 * 0.02,
        first=5_000,
        step=1_500,
        most=25_000,
    )
    more = [{name: value * (1 + 0.03 * (name in unsound)) for name, value in one.items()} for one in raced.rounds]
    for found, leak in ((judged[0], 0.02), (answer("more", (SOUND, unsound), more), 0.05)):
        assert found.shift.seen, found
        assert found.shift.low < leak * found.typical < found.shift.high * 1.5
        assert found.separation.deviations > CERTAIN
        assert found.probability < 1e-4


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

    makers = Workshop(key.public_key(), form).bad()
    found, judged = until_sharp(lambda count: run(makers, naive, count), form, is_told, first=400, step=400, most=8_000)
    assert judged[0].shown > TOLERATED, judged[0]
    assert len(set[object]().union(*found.errors.values())) > 1


def test_the_paddings_of_a_token_are_seen(rsa_key_in: RsaKeyIn) -> None:
    """Why the SDK takes them off itself: SoftHSM needs some per cent more to say that a padding is bad."""
    key, form = rsa_key_in("pkcs11"), Form()
    key._refused.add(("raw",))  # type: ignore[attr-defined]  # as if the token had no bare RSA
    makers = Workshop(key.public_key(), form).bad()
    found, judged = until_sharp(
        lambda count: run(makers, reader(key), count), form, is_told, first=1_000, step=1_000, most=20_000
    )
    assert judged[0].shown > TOLERATED, judged[0]
    assert len(set[object]().union(*found.errors.values())) == 1


def test_a_reader_without_a_check_lets_garbage_pass(rsa_key_in: RsaKeyIn) -> None:
    """CALE-09, and why CBC is an oracle by itself: who takes any plaintext tells the attacker which paddings were sound."""
    key = rsa_key_in("file")
    assert isinstance(key, rsa.RSAPrivateKey)
    garbage = Workshop(key.public_key(), Form()).garbage()
    assert len(open_document(garbage, key, URL, lambda document: document.content)) == len(PLAINTEXT)
    with pytest.raises(NotForUsError):
        reader(key)(garbage)


def test_questions_cover_every_class(rsa_key_in: RsaKeyIn) -> None:
    public = rsa_key_in("file").public_key()
    for form in FORMS:
        makers = Workshop(public, form).bad()
        asked = questions(form, makers)
        assert {name for sides in asked.values() for side in sides for name in side} == set(makers)
        rounds = race(_refuse, makers, 25, warm_up=0).rounds
        assert {answer(name, sides, rounds).name for name, sides in asked.items()} == set(asked)


def two_recipients(public: rsa.RSAPublicKey, *, sound: bool) -> bytes:
    """A message for a key that was captured, whose padding is sound or not, and behind it for one of the attacker's."""
    own, vector, plaintext = os.urandom(32), os.urandom(16), b'{"of": "the attacker"}'
    padder = PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(own), modes.CBC(vector)).encryptor()
    blocks = encryptor.update(padder.update(plaintext) + padder.finalize())
    while True:
        captured = os.urandom(32)
        decryptor = Cipher(algorithms.AES(captured), modes.CBC(blocks[-32:-16])).decryptor()
        if (decryptor.update(blocks[-16:])[-1] == 1) == sound:
            break
    transports = [key_transport(rsa_block(public, pkcs1_block(one))) for one in (captured, own)]
    return enveloped(own, plaintext, *transports, iv=vector)


def _failure_s(slots: FailureSlots, pause_s: float, size: int = 1000) -> float:
    """How long a failure takes."""
    began = time.monotonic()
    with suppress(NotForUsError), slots.one(size):
        time.sleep(pause_s)
        raise NotForUsError("not for us")
    return time.monotonic() - began


def _refuse(message: bytes) -> object:
    raise NotForUsError(f"{len(message)} bytes")
