"""`openssl verify` on the same tests as a judge: where it and the suite's document agree, nothing was misread here."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.wire.path import pkits
from tests.wire.path.test_pkits import ANY_POLICY, REFUSED, problem

FLAGS = {"explicit": "-explicit_policy", "no-mapping": "-inhibit_map", "no-any": "-inhibit_any"}
# parameters of a DSA key that are inherited; a list whose issuer has a list of his own by another one
OPENSSL_REFUSES = {"4.1.5", "4.14.30"}


def verified(directory: Path) -> set[str]:
    """The numbers of the tests whose certificate openssl takes; one process for each setting."""
    certificates, lists = directory / "bag.pem", directory / "lists.pem"
    certificates.write_bytes(b"".join(_pem(one) for one in pkits.authorities()))
    lists.write_bytes(b"".join(_pem(one) for one in pkits.lists()))
    (directory / "anchor.pem").write_bytes(_pem(pkits.certificates()[pkits.ANCHOR]))
    alike = defaultdict(list)
    for case in pkits.cases():
        if case.target not in pkits.UNREADABLE:
            (directory / case.target).write_bytes(_pem(pkits.certificates()[case.target]))
            alike[case.policies, case.flags].append(case)
    good: set[str] = set()
    for (policies, flags), cases in alike.items():
        words = ["openssl", "verify", "-CAfile", "anchor.pem", "-no-CApath", "-no-CAstore", "-untrusted", "bag.pem"]
        words += ["-CRLfile", "lists.pem", "-crl_check_all", "-extended_crl", "-use_deltas", "-policy_check"]
        words += ["-attime", str(int(pkits.NOW.timestamp())), *(FLAGS[one] for one in sorted(flags))]
        for policy in policies or (ANY_POLICY,):
            words += ["-policy", policy]
        words += [case.target for case in cases]
        done = subprocess.run(words, cwd=directory, capture_output=True, text=True, check=False, timeout=120)
        accepted = {line.removesuffix(": OK") for line in done.stdout.splitlines() if line.endswith(": OK")}
        good |= {case.number for case in cases if case.target in accepted}
    return good


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@pytest.mark.slow
def test_rfc_5280_section_6_openssl_says_the_same(tmp_path):
    good = verified(tmp_path)
    stated = {case.number for case in pkits.cases() if case.valid}
    assert stated - good == OPENSSL_REFUSES
    assert good <= stated
    ours = {case.number for case in pkits.cases() if case.target not in pkits.UNREADABLE and problem(case) is None}
    assert ours == good - REFUSED


def _pem(one: x509.Certificate | x509.CertificateRevocationList) -> bytes:
    return one.public_bytes(Encoding.PEM)
