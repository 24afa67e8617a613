"""Large answers and decoys: the bytes that pyasn1 and one line at a time would give, and not many copies of them."""

from __future__ import annotations

import base64
import tracemalloc
from datetime import UTC, datetime

import pytest
from device_sdk_simulators.cale.binary_http import BINARY_HTTP
from device_sdk_simulators.cale.ciphers import SUITES, content_cipher
from device_sdk_simulators.cale.envelope import DATA, ciphertext_length, unreadable
from device_sdk_simulators.cale.stand_ins import stand_in_certificate, stand_in_key
from device_sdk_simulators.est.bodies import in_lines, wrap
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc5083, rfc5652

RECIPIENT = stand_in_certificate(stand_in_key(2048, b"m"), datetime.now(UTC))


@pytest.mark.parametrize("length", [0, 1, 47, 48, 49, 48 * 1024 - 1, 48 * 1024, 48 * 1024 + 1, 200_000])
def test_lines_in_pieces_are_the_lines_of_the_whole(length):
    der = bytes(index % 251 for index in range(length))
    assert in_lines(der) == wrap(base64.b64encode(der), 64, b"\n")


@pytest.mark.parametrize("content_type", [DATA, BINARY_HTTP])
@pytest.mark.parametrize("aead", [False, True])
@pytest.mark.parametrize("length", [1, 100, 127, 128, 255, 256, 65535, 65536, 1_000_000])
def test_the_layers_around_a_ciphertext_are_der(length, aead, content_type):
    cipher = content_cipher(SUITES[0], aead=aead, allowed=SUITES)
    message = unreadable(length, RECIPIENT, cipher, content_type=content_type)
    info, rest = decode(message, asn1Spec=rfc5652.ContentInfo())
    spec = rfc5083.AuthEnvelopedData() if aead else rfc5652.EnvelopedData()
    content, after = decode(info["content"], asn1Spec=spec)
    assert (rest, after) == (b"", b"")
    assert bytes(encode(content)) == bytes(info["content"])
    assert bytes(encode(info)) == message
    assert ciphertext_length(message) == (length if aead else length // 16 * 16 + 16, aead, content_type)


@pytest.mark.slow
def test_a_decoy_takes_the_memory_of_a_few_copies():
    size, cipher = 8_000_000, content_cipher(SUITES[0], aead=True, allowed=SUITES)
    tracemalloc.start()
    try:
        in_lines(unreadable(size, RECIPIENT, cipher))
        assert tracemalloc.get_traced_memory()[1] < 4 * size
    finally:
        tracemalloc.stop()
