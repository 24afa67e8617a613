"""Whatever devices say, an entry is small, readable, and has no secret in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from device_sdk.errors import LedgerError
from device_sdk.station.ledger import Ledger, is_secret_name
from device_sdk.station.ledger.content import MAX_FACTS_BYTES, bounded
from device_sdk.station.ledger.entry import canonical

SECRETS = ("password", "userPin", "wifi-psk", "key_private", "PIN", "console_password_file", "clientSecret", "otp")
HARMLESS = ("public_key_sha256", "pinned", "spinning", "serial_number", "opinion", "fingerprint", "compass", "key_uri")


def pem() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def test_names_of_secrets_are_known() -> None:
    assert [name for name in SECRETS if not is_secret_name(name)] == []
    assert [name for name in HARMLESS if is_secret_name(name)] == []


@pytest.mark.parametrize("name", SECRETS)
def test_a_fact_that_is_named_like_a_secret_is_refused(tmp_path: Path, name: str) -> None:
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        with pytest.raises(LedgerError, match="name of a secret"):
            ledger.append("note", facts={name: "hunter2"})
        assert ledger.head().number == 0


def test_secrets_that_devices_say_are_taken_out(tmp_path: Path) -> None:
    key = pem()
    half = key[len(key) // 2 :]
    said = {
        "excerpt": f"# cat /etc/key\n{key}\n# ",
        "cut": f"{half}\n# ",
        "open": key[: len(key) // 2],
        "uri": "pkcs11:token=lab?pin-value=471108154711&module-name=x",
        "attestation": {"keystore": "tpm2", "auth": {"password": "471108154711"}, "list": [{"PIN": 471108154711}, key]},
    }
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        ledger.append("note", facts=said, outcome=f"failed: {key}", line="pkcs11:x?pin-value=471108154711")
    content = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"471108154711" not in content  # four digits may be in a digest
    body = "".join(key.splitlines()[1:-1])
    assert not any(body[i : i + 16].encode() in content for i in range(0, len(body) - 16, 4))


@pytest.mark.parametrize(
    "value",
    [
        "x" * 10_000_000,
        "\x1b[2J\0\ud800" * 1000,
        "\U0001f511" * 5000,
        ["y" * 1000] * 10_000,
        {f"name{number}": "z" * 1000 for number in range(1000)},
        {"n" * 100_000: 1},
        [[[[[[["deep"]]]]]]],
        [[["w" * 200] * 64] * 64] * 64,
        float("nan"),
        float("-inf"),
        10**5000,
        -(10**20),
    ],
    ids=lambda value: str(type(value).__name__),
)
def test_facts_are_bounded(value: object) -> None:
    result = bounded({"said": value})
    text = canonical(result)
    assert len(text) <= MAX_FACTS_BYTES
    assert json.loads(text) == result
    assert text.isascii()
    assert "\\u001b" not in text
    assert "\\u0000" not in text


def test_many_facts_are_cut_down(tmp_path: Path) -> None:
    assert len(canonical(bounded({f"name{number}": "x" * 2000 for number in range(5000)}))) <= MAX_FACTS_BYTES
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        entry = ledger.append("note", line="/dev/\x1b]0;x\x07" + "y" * 5000, outcome="a\nb")
    assert entry.line is not None
    assert entry.line.isprintable()
    assert len(entry.line) == 200
    assert entry.outcome == "a b"


def test_what_is_no_json_is_the_callers_mistake() -> None:
    with pytest.raises(LedgerError, match="bytes cannot stand"):
        bounded({"der": b"0\x82"})


def test_ordinary_facts_stay_as_they_are() -> None:
    facts = {"operator": "Ana Ruß", "elapsed_s": 1.25, "macs": ["02:00:5e:10:00:01"], "n": None, "ok": True,
             "attestation": {"keystore": "tpm2", "fixed_tpm": True, "sensitive_data_origin": True}, "text": "a\nb\tc"}  # fmt: skip
    assert bounded(facts) == facts
