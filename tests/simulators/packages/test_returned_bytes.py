"""Whatever devices send back is refused in words, and never breaks the server (G-14)."""

from __future__ import annotations

import datetime as dt
import random
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from device_sdk_simulators.ca.hierarchy import Authority, make_authority
from device_sdk_simulators.ca.keys import new_key
from device_sdk_simulators.cmc.message import read_message
from device_sdk_simulators.cmc.refusal import CmcRefusedError
from device_sdk_simulators.packages.firmware.reports import BadReportError, read_report
from device_sdk_simulators.packages.signing import signed_message
from device_sdk_simulators.packages.tamp import anchors, targets
from device_sdk_simulators.packages.tamp.answers import BadAnswerError, read_answer
from device_sdk_simulators.packages.tamp.kinds import QUERY, UPDATE
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc4108, rfc5934

from tests.fuzz.mutation import mutated

NOW = dt.datetime.now(dt.UTC)
ROUNDS = 300


@pytest.fixture(scope="module")
def signer() -> Authority:
    return make_authority("Device", new_key("ec-p256"), NOW)


def receipt() -> bytes:
    found = rfc4108.FirmwarePackageLoadReceipt()
    found["hwType"], found["hwSerialNum"], found["fwPkgName"]["legacy"] = "1.2.3", b"\x01", b"name"
    return bytes(encode(found))


def status(certificate: x509.Certificate) -> bytes:
    """A verbose response with anchors in all formats."""
    found = rfc5934.TAMPStatusResponse()
    found["query"] = targets.reference(targets.all_modules(), 1)
    verbose = found["response"]["verboseResponse"]
    for position, form in enumerate(anchors.FORMS):
        verbose["taInfo"][position] = anchors.anchor(certificate, form)
    verbose["communities"].append("1.2.3")
    verbose["tampSeqNumbers"][0]["keyId"], verbose["tampSeqNumbers"][0]["seqNumber"] = b"\x01", 2**63 - 1
    return bytes(encode(found))


def samples(signer: Authority) -> dict[str, tuple[Callable[[bytes], object], type[Exception], bytes]]:
    """Reader, its error, and bytes it reads."""
    certificates = [signer.certificate]
    answer = signed_message(status(signer.certificate), QUERY.answer, signer, certificates=certificates)
    report = signed_message(receipt(), str(rfc4108.id_ct_firmwareLoadReceipt), signer, certificates=certificates)
    return {
        "answers": (read_answer, BadAnswerError, answer),
        "reports": (read_report, BadReportError, report),
        "messages": (lambda data: read_message(data, content_types=(QUERY.answer,)), CmcRefusedError, answer),
    }


@pytest.mark.parametrize("what", ["answers", "reports", "messages"])
def test_g_14_changed_bytes(signer: Authority, what: str) -> None:
    read, refusal, data = samples(signer)[what]
    read(data)
    chance = random.Random(5934)  # noqa: S311  # any numbers will do, the same each time
    refused = 0
    with warnings.catch_warnings():
        # of the cryptography package about certificates that it will refuse one day
        warnings.simplefilter("ignore")
        for _ in range(ROUNDS):
            try:
                read(mutated(data, data, chance))
            except refusal:
                refused += 1
    assert refused > ROUNDS / 2


def test_g_14_a_certificate_of_no_version_and_a_length_of_no_memory(signer: Authority) -> None:
    """What the libraries raise for these is none of the errors they speak of."""
    for read, refusal, data in samples(signer).values():
        version = bytes.fromhex("a003020102")
        assert version in data
        with pytest.raises(refusal):
            read(data.replace(version, bytes.fromhex("a003020109")))
        with pytest.raises(refusal):
            read(b"\x30\x88" + b"\xff" * 8 + data)


def test_who_has_what_in_every_format(signer: Authority) -> None:
    """Sections 4.2 and 4.4: anchors by their key identifiers, in whichever format they came."""
    found = read_answer(signed_message(status(signer.certificate), QUERY.answer, signer))
    identifier = signer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest.hex()
    assert found.holds == {
        "anchors": [identifier] * 3,
        "apex": True,
        "communities": ["1.2.3"],
        "numbers": {"01": 2**63 - 1},
    }
    confirm = rfc5934.TAMPUpdateConfirm()
    confirm["update"] = targets.reference(targets.all_modules(), 1)
    verbose = confirm["confirm"]["verboseConfirm"]
    verbose["status"].extend([0, 20])
    verbose["taInfo"][0], verbose["usesApex"] = anchors.anchor(signer.certificate), False
    found = read_answer(signed_message(bytes(encode(confirm)), UPDATE.answer, signer))
    assert (found.statuses, found.holds) == ((0, 20), {"anchors": [identifier], "apex": False})


def test_the_sample_of_the_author_of_rfc_5934() -> None:
    """A status response that nobody here made: anchors as certificates, no apex, no communities."""
    sample = Path(__file__).parents[2] / "vectors" / "tamp" / "status-response.der"
    found = read_answer(sample.read_bytes())
    assert (found.word, found.statuses, found.about) == ("response", (), QUERY.content_type)
    assert found.signed is not None
    assert found.holds is not None
    assert (len(found.holds["anchors"]), found.holds["apex"], found.holds["communities"]) == (3, False, [])
