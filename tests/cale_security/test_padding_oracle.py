"""Bleichenbacher's, Manger's and Vaudenay's questions put to the client: 10,000 messages and more for each kind of key.

CALE-10: whatever is wrong with a message, there is one error with one text; CALE-70 and RFC 3218 section 2.3.2: and one time.
Every message has the length and the structure of every other; what differs only the key shows.
"""

from __future__ import annotations

import itertools
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
from tests.cale_security.questions import CONTENT, SOUND, answer, answers, questions, until_sharp
from tests.cale_security.ranks import CERTAIN
from tests.cale_security.specimens import FORMS, PLAINTEXT, SECRET, Form, Workshop
from tests.cale_security.watching import Open, Race, descriptors_captured, race, values_near
from tests.cms.handmade import enveloped, key_transport, pkcs1_block, rsa_block

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
WITH_SLOTS = {"file": 600, "pkcs11": 600, "tpm2": 150}  # each takes a slot
FEWER_MESSAGES = 1_600


def reader(key: RsaDeviceKey) -> Open:
    """What CaleClient.get does with an answer; JSON is expected."""
    return lambda message: open_document(message, key, URL, lambda document: json.loads(document.content))


def run(key: RsaDeviceKey, form: Form, opening: Open, messages: int, leak_us: dict[str, float] | None = None) -> Race:
    makers = Workshop(key.public_key(), form).bad()
    return race(opening, makers, -(-messages // len(makers)), leak_us=leak_us)


@pytest.mark.parametrize(("keystore", "form"), [*itertools.product(KEYSTORES, FORMS)], ids=str)
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
        opening = reader(key)
        raced, judged = until_sharp(lambda: run(key, form, opening, messages), form, SHARP, most=most, patience_s=40)
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

    raced = run(key, form, opening, WITH_SLOTS[keystore])
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

    found, judged = until_sharp(lambda: run(key, form, naive, 2000), form, SHARP, seen=TOLERATED)
    assert judged[0].shown > TOLERATED, judged[0]
    assert len(set[object]().union(*found.errors.values())) > 1


def test_the_paddings_of_a_token_are_seen(rsa_key_in: RsaKeyIn) -> None:
    """Why the SDK takes them off itself: SoftHSM needs some per cent more to say that a padding is bad."""
    key, form = rsa_key_in("pkcs11"), Form()
    key._refused.add(("raw",))  # type: ignore[attr-defined]  # as if the token had no bare RSA
    found, judged = until_sharp(lambda: run(key, form, reader(key), 5000), form, SHARP, seen=TOLERATED)
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
