"""`device-sdk-sim registration-authority`: a certificate with which a station may enrol others (RFC 7030 section 3.7).

It works on the state directory, whether the server runs or not.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from device_sdk_simulators.cli import option_types as types
from device_sdk_simulators.cli.rollover import in_state, now
from device_sdk_simulators.cli.speaking import UsageError, say

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "registration-authority", help="issue the certificate of a registration authority (id-kp-cmcRA), as PEM"
    )
    parser.add_argument("--state", type=Path, metavar="DIR", required=True, help="the server's state directory")
    parser.add_argument("--label", type=types.label, help="a label with a CA of its own; the main CA if not given")
    parser.add_argument("--name", type=types.user, required=True, help="its common name")
    whose = parser.add_mutually_exclusive_group(required=True)
    whose.add_argument(
        "--csr", type=Path, metavar="FILE", help="PEM or DER: the key is the one that signed this request"
    )
    whose.add_argument(
        "--key-out", type=Path, metavar="FILE", help="make an EC P-256 key, and put it into this new file (PEM)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="where the certificate goes; standard output if not given"
    )
    parser.set_defaults(run=_issue)


def _issue(options: argparse.Namespace) -> int:
    from cryptography.hazmat.primitives.serialization import Encoding

    from device_sdk_simulators.ca.authority import load_hierarchy
    from device_sdk_simulators.ca.registration_authority import issue_registration_authority
    from device_sdk_simulators.ca.stages import stages_of

    label = options.label or ""
    with in_state(options) as (directory, database):
        public_key = _key_of(options.csr) if options.csr else _new_key(options.key_out)
        hierarchy = load_hierarchy(directory, stages_of(database, label))
        certificate = issue_registration_authority(hierarchy, database, options.name, public_key, now(), label=label)
    pem = certificate.public_bytes(Encoding.PEM)
    if options.out:
        options.out.write_bytes(pem)
    else:
        say(pem.decode().rstrip("\n"))
    return 0


def _key_of(file: Path) -> CertificatePublicKeyTypes:
    from cryptography import x509

    content = file.read_bytes()
    try:
        csr = x509.load_pem_x509_csr(content) if content.startswith(b"-") else x509.load_der_x509_csr(content)
        sound = csr.is_signature_valid
    except ValueError as error:
        raise UsageError(f"--csr {file} holds no certificate request") from error
    if not sound:
        raise UsageError(f"--csr {file} is not signed by its own key")
    return csr.public_key()


def _new_key(file: Path) -> CertificatePublicKeyTypes:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(pem)
    return key.public_key()
