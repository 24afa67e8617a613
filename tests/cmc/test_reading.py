"""The bounded readers of CMC against noise, and the small numbers of the writer."""

from __future__ import annotations

import random
import time

import pytest
from device_sdk_simulators.cmc.answer import Answer, Status
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ

from device_sdk.errors import ConfigurationError, WireError
from device_sdk.model.secret import Secret
from device_sdk.wire import der
from device_sdk.wire.cmc.kind import AnswerKind, answer_kind
from device_sdk.wire.cmc.pki_data import request_sequence, revoke_request
from device_sdk.wire.cmc.pki_response import read_pki_response
from device_sdk.wire.cmc.proofs import SharedSecret
from device_sdk.wire.cms.signing import Signer, sign_data
from tests.est.pki import Ca, new_key

ANSWER = Answer(
    statuses=[Status(0, (1,), "fine"), Status(2, (0, 2), "no", fail_info=9)],
    transaction_id=2**126,
    recipient_nonce=b"ours",
    nonce=b"theirs",
    data_return=b"x",
)


@pytest.mark.parametrize("number", [0, 1, 127, 128, 255, 256, 2**31, 2**32 - 1, 2**127 - 1, 2**159, -1, -129, -(2**64)])
def test_integers_are_those_of_pyasn1(number):
    assert der.integer(number) == encode(univ.Integer(number))


def test_an_integer_that_pyasn1_writes_too_long():
    """X.690 section 8.3.2: the fewest octets."""
    assert der.integer(-128) == b"\x02\x01\x80"


def test_everything_the_foreign_writer_says_is_read():
    read = read_pki_response(ANSWER.content())
    assert (read.transaction_id, read.recipient_nonce, read.sender_nonce) == (2**126, b"ours", b"theirs")
    assert [(one.status_name, one.fail_name, one.text, one.body_parts) for one in read.statuses] == [
        ("success", None, "fine", (1,)),
        ("failed", "popFailed", "no", (0, 2)),
    ]
    assert read.unknown == ("1.3.6.1.5.5.7.7.4",)


def test_body_part_paths():
    """BodyPartReference as a path (section 6.1.1): the last one is what it is about."""
    path = der.sequence(der.integer(0), der.sequence(der.sequence(der.integer(7), der.integer(3)), der.integer(2)))
    control = der.sequence(der.integer(1), der.oid("1.3.6.1.5.5.7.7.25"), der.set_of([path]))
    read = read_pki_response(der.sequence(der.sequence(control), der.sequence(), der.sequence()))
    assert read.statuses[0].body_parts == (3, 2)


def test_noise_is_refused_quickly():
    """Every mangled copy is read or is a WireError; none hangs and nothing else comes out."""
    good, source = ANSWER.content(), random.Random(1)  # noqa: S311
    began = time.thread_time()
    for _ in range(4000):
        data = bytearray(good)
        for _ in range(source.randint(1, 4)):
            data[source.randrange(len(data))] = source.randrange(256)
        try:
            read_pki_response(bytes(data[: source.randint(1, len(data))] if source.random() < 0.3 else data))
        except WireError:
            continue
    assert time.thread_time() - began < 20


def test_noise_around_the_message():
    ca, key, source = Ca.root(), new_key(), random.Random(2)  # noqa: S311
    signer = Signer(key, certificate=ca.certify("x", key.public_key()))
    good = sign_data(ANSWER.content(), "1.3.6.1.5.5.7.12.3", signer)
    assert answer_kind(good) is AnswerKind.SIGNED
    for _ in range(2000):
        data = bytearray(good)
        data[source.randrange(len(data))] = source.randrange(256)
        try:
            answer_kind(bytes(data))
        except WireError:
            continue


def test_a_signer_has_to_be_named():
    with pytest.raises(ConfigurationError):
        sign_data(b"x", "1.3.6.1.5.5.7.12.2", Signer(new_key()))


def test_reasons_of_a_revocation():
    certificate = Ca.root().certificate
    with pytest.raises(ConfigurationError, match="superseded"):
        revoke_request(certificate, "bored")


def test_secrets_do_not_show():
    shared = SharedSecret(Secret("sixteen or more characters"), "dev-1")
    control = revoke_request(Ca.root().certificate, "superseded", shared_secret=shared.secret)
    assert "sixteen" not in repr(shared) + repr(control)


def test_a_request_without_certification_request():
    assert request_sequence(None) == b"\x30\x00"
