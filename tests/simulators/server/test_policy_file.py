"""`device-sdk-sim server --policy FILE`: every switch from the command line, and nothing that is none."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from device_sdk_simulators.cli import policy_file
from device_sdk_simulators.cli.speaking import UsageError
from device_sdk_simulators.policy import Policy

from tests.descriptors import readable
from tests.simulators.command import SIM

ALL = """
http_auth = ["digest"]
digest_algorithms = ["MD5"]
digest_userhash = true
nonce_lifetime = 7
require_password = true
require_approval = true
dialect = "draft-04"
redelivery = 8.5
retry_after_s = 9
max_waiting = 3
max_waiting_each = 2
waiting_ends = 3600
require_binding = true
accept_finished = true
csrattrs_login = true
list_identity_linking = true
require_otp = true
require_revocation_challenge = true
change_subject_name = "any"
pending_by_bytes = true
labels = ["a"]
own_cas = ["b"]
lifetime = 86400
backdate = 0
rsa_keys = false
min_rsa_bits = 3072
curves = ["secp384r1"]
allow_sha1 = true
enroll_with_certificate = "no"
registration_authorities = false
reenroll_with_password = true
forbid_key_reuse = true
third_party_serials = ["S1", ["CN=Maker", "S2"]]
third_party_serial_fields = {"CN=Maker" = "2.5.4.5"}
reenroll_grace = 60
extended_key_usages = ["1.3.6.1.5.5.7.3.2"]
serverkeygen = ["clear"]
serverkeygen_types = ["rsa-2048"]
serverkeygen_form = "signed"
serverkeygen_announced_form = "ekp"
serverkeygen_label_forms = {"lab" = "pkcs12"}
serverkeygen_bare = true
serverkeygen_receipts = true
serverkeygen_encrypted_receipts = true
serverkeygen_pkcs12_mac = "pbmac1"
fullcmc = true
fullcmc_confirm = true
fullcmc_publish_anchors = true
packages = false
pal_limit = 2
pal_renewal = 0.5
pal_fullcmc = true
firmware_registered = true
key_establishment = true
tamp_as_cms = true
tamp_unsigned = true
copied_extensions = ["1.2.3"]
cale_headers = "plain"
cale_aead = true
cale_hardened = true
cale_certificate_lifetime = 5
"""


@pytest.fixture
def applied(tmp_path: Path) -> Callable[[str], Policy]:
    def apply(text: str) -> Policy:
        policy = Policy()
        (tmp_path / "policy.toml").write_text(text)
        policy_file.apply(policy, tmp_path / "policy.toml")
        return policy

    return apply


def test_every_switch_can_be_set(applied):
    """What cannot says what sets it; a new switch has to be one or the other."""
    policy, usual = applied(ALL), Policy()
    changed = {name for name in Policy.__annotations__ if getattr(policy, name) != getattr(usual, name)}
    assert changed | set(policy_file.ELSEWHERE) == set(Policy.__annotations__)
    for name in Policy.__annotations__:
        kinds = type(getattr(policy, name)), type(getattr(usual, name))
        assert kinds[0] is kinds[1] or name == "third_party_serials", name
    assert policy.waiting_ends == timedelta(hours=1)
    assert policy.third_party_serials == {"S1", ("CN=Maker", "S2")}


BAD = {
    "unknown": ("hurry = true", "there is no switch hurry"),
    "of an option": ('third_party_anchors = ["x"]', "third_party_anchors is not set there, but by --client-anchors"),
    "no truth value": ("rsa_keys = 1", "rsa_keys: true or false"),
    "no number": ("min_rsa_bits = true", "min_rsa_bits: a whole number"),
    "zero": ("max_waiting = 0", "max_waiting: a whole number"),
    "a list of one": ("pal_limit = 1", "pal_limit: 2 or more"),
    "no share": ("pal_renewal = 2", "pal_renewal: a number from 0 to 1"),
    "no time": ('lifetime = "long"', "lifetime: a number of seconds"),
    "before now": ("lifetime = -1", "lifetime: a number of seconds"),
    "for ever": ("lifetime = 1e300", "lifetime: a number of seconds"),
    "no word of it": ('dialect = "klingon"', "dialect: one of draft-04, rfc7030"),
    "no form": ('serverkeygen_label_forms = {"lab" = "zip"}', "serverkeygen_label_forms: one of ekp, pkcs12"),
    "no array": ('curves = "secp256r1"', "curves: an array"),
    "no curve": ('curves = ["secp112r1"]', "curves: one of"),
    "a label that is none": ('labels = ["cacerts"]', "labels: the label 'cacerts' is the name of an operation"),
    "half a pair": ('third_party_serials = [["CN=Maker"]]', "third_party_serials: each is to be"),
    "no table": ("third_party_serial_fields = []", "third_party_serial_fields: a table"),
    "no TOML": ("rsa_keys", "is not TOML"),
}


@pytest.mark.parametrize(("text", "says"), BAD.values(), ids=BAD)
def test_what_is_refused(applied, text, says):
    with pytest.raises(UsageError, match=r"policy\.toml") as caught:
        applied(text)
    assert says in str(caught.value)


@pytest.mark.slow
def test_a_server_goes_by_it(tmp_path):
    """It counts more than an option; a file that is bad or missing ends the start."""
    (tmp_path / "policy.toml").write_text('serverkeygen = ["clear"]\nlabels = ["lab"]\nretry_after_s = 77\n')
    words = [*SIM, "server", "--state", tmp_path / "state", "--retry-after", "5", "--json", "--policy"]
    with subprocess.Popen([*map(str, words), str(tmp_path / "policy.toml")], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert readable(process.stdout.fileno(), 30)
            facts = json.loads(process.stdout.readline())
            url = f"{facts['url']}/.well-known/est/lab/serverkeygen"
            asked = [
                "curl",
                "-s",
                "-o",
                tmp_path / "body",
                "-w",
                "%{http_code}",
                "--cacert",
                facts["ca_file"],
                "-d",
                "",
                url,
            ]
            done = subprocess.run([*map(str, asked)], capture_output=True, text=True, timeout=30, check=True)
            assert done.stdout == "401", "it is there"
        finally:
            process.terminate()
    (tmp_path / "policy.toml").write_text("x = 1\n")
    for file, says in ((tmp_path / "policy.toml", "there is no switch x"), (tmp_path / "none", "No such file")):
        command = [*map(str, words), str(file)]
        failed = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert failed.returncode == 2
        assert says in failed.stderr
