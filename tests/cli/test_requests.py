"""What goes into a request: --change-name, --attribute, --binding, --tls-max and --after-202."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from cryptography import x509
from device_sdk_simulators.csr_demand import Demand, DemandedExtension

from device_sdk.cli.settings import AFTER_202, BINDINGS, DIALECTS
from device_sdk.model.compatibility import After202, BindingMode, Dialect
from tests.cli.conftest import Lab, leaf

CLIENT_AUTH = x509.ExtendedKeyUsage([x509.OID_CLIENT_AUTH]).public_bytes().hex()


def alternative_names(certificate: x509.Certificate) -> list[Any]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [name.value for name in names]


@pytest.fixture
def current(lab: Lab, tmp_path: Path) -> tuple[str, Path]:
    """A key, and its certificate for CN=old and old.example."""
    key, out = lab.key(), tmp_path / "old.pem"
    lab.cli.ok(
        "est",
        "enroll",
        *lab.trust,
        *lab.login,
        "--key",
        key,
        "--subject",
        "CN=old",
        "--san",
        "DNS:old.example",
        "--out",
        out,
    )
    return key, out


def test_the_choices_of_the_settings_are_those_of_the_model() -> None:
    assert get_args(BindingMode) == BINDINGS
    assert get_args(After202) == AFTER_202
    assert get_args(Dialect) == DIALECTS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "subject", "names"),
    [
        (("--subject", "CN=new", "--san", "DNS:new.example"), "CN=new", ["new.example"]),
        (("--subject", "CN=new"), "CN=new", ["old.example"]),
        (("--san", "DNS:new.example"), "CN=old", ["new.example"]),
    ],
)
def test_est_153_reenroll_change_name(lab: Lab, current, tmp_path: Path, words, subject, names) -> None:
    """What is not said stays as it is in the certificate (RFC 6402 section 2.8 would remove it)."""
    lab.server.policy.change_subject_name = "any"
    key, old = current
    done = lab.cli.ok(
        "est",
        "reenroll",
        "--same-key",
        *lab.trust,
        "--key",
        key,
        "--cert",
        old,
        "--change-name",
        *words,
        "--out",
        tmp_path / "new.pem",
    )
    assert done.err == ""
    assert leaf(tmp_path / "new.pem").subject.rfc4514_string() == subject
    assert alternative_names(leaf(tmp_path / "new.pem")) == names


@pytest.mark.slow
def test_est_153_the_refusals_say_what_to_do(lab: Lab, current) -> None:
    key, old = current
    renew = ("est", "reenroll", "--same-key", *lab.trust, "--key", key, "--cert", old)
    assert "--change-name" in lab.cli.fails(2, *renew, "--subject", "CN=new")
    assert "--change-name" in lab.cli.fails(2, *renew, "--san", "DNS:new.example")
    assert "needs the new name" in lab.cli.fails(2, *renew, "--change-name")
    assert "another name" in lab.cli.fails(7, *renew, "--change-name", "--subject", "CN=new")
    assert "--cert" in lab.cli.fails(
        2, "est", "enroll", *lab.trust, *lab.login, "--key", key, "--change-name", "--subject", "CN=x"
    )


@pytest.mark.slow
def test_est_177_attributes_for_what_the_server_asks(lab: Lab, tmp_path: Path) -> None:
    """Text and DER; what nobody asks for is not sent."""
    drink, usage = "0.9.2342.19200300.100.1.5", "2.5.29.37"
    lab.server.policy.demands = [
        Demand(form="rfc9908", subject=(("2.5.4.3", None), ("2.5.4.5", None)), attributes=(drink,),
               extensions=(DemandedExtension(usage),))
    ]  # fmt: skip
    words = (
        "est",
        "enroll",
        *lab.trust,
        *lab.login,
        "--key",
        lab.key(),
        "--subject",
        "CN=gate",
        "--out",
        tmp_path / "c.pem",
    )
    refused = lab.cli(*words)
    assert refused.code == 7
    assert "2.5.4.5 (serial number, --serial or --subject), there is no value for it" in refused.err
    assert "2.5.4.5 is missing" in refused.err
    values = (f"{drink}=tea", "2.5.4.5=4711", f"{usage}=der:{CLIENT_AUTH}", "1.2.3.4=unasked")
    lab.cli.ok(*words, *(word for value in values for word in ("--attribute", value)))
    assert leaf(tmp_path / "c.pem").subject.rfc4514_string() == "2.5.4.5=4711,CN=gate"


@pytest.mark.slow
def test_est_178_a_key_of_another_kind_than_asked_for(lab: Lab) -> None:
    """The server's wish is not met: exit code 7, with the endpoint, and nothing that this command cannot do."""
    lab.server.policy.csrattrs = ["1.3.132.0.34"]
    words = ("est", "enroll", *lab.trust, *lab.login, "--key", lab.key(), "--subject", "CN=x")
    said = lab.cli.fails(7, *words)
    assert f"{lab.server.url}/.well-known/est/simpleenroll: the server asks for an EC key on secp384r1" in said
    assert "keys create --type" in said
    assert "keep" not in said


@pytest.mark.slow
@pytest.mark.parametrize("value", ["tea", "x=1", "1.2.3=", "1.2.3=der:xyz", "=x"])
def test_a_malformed_attribute(lab: Lab, value: str) -> None:
    """Refused before anything is made or asked."""
    words = ("csr", "--key", lab.key(), "--subject", "CN=x", "--attribute", value)
    assert "--attribute" in lab.cli.fails(2, *words)


@pytest.mark.slow
def test_est_98_binding_and_tls_version(lab: Lab, tmp_path: Path) -> None:
    policy = lab.server.policy
    policy.require_binding = policy.accept_finished = True
    words = (
        "est",
        "enroll",
        *lab.trust,
        *lab.login,
        "--key",
        lab.key(),
        "--subject",
        "CN=x",
        "--out",
        tmp_path / "c.pem",
    )
    for more, seen in (
        ((), "tls-exporter"), (("--tls-max", "1.2"), "tls-unique"), (("--binding", "finished"), "finished"),
        (("--binding", "tls-unique"), "tls-unique"),
    ):  # fmt: skip
        lab.cli.ok(*words, *more)
        assert lab.server.log()[-1]["binding"] == seen
    said = lab.cli.fails(2, *words, "--binding", "none")
    assert f"{lab.server.url}/.well-known/est/simpleenroll: the server wants the request bound" in said
    assert "bind to nothing" in said
    assert "--binding auto" in said
    lab.cli.ok(*words, env={"DEVICE_SDK_EST_BINDING": "finished"})
    assert lab.server.log()[-1]["binding"] == "finished"


@pytest.mark.slow
def test_the_device_commands_take_them_too(lab: Lab) -> None:
    lab.server.policy.require_binding = True
    key = f"file:{lab.keys}/held.pem"
    lab.cli.ok(
        "enroll",
        *lab.trust,
        *lab.login,
        "--state",
        lab.state,
        "--key",
        key,
        "--subject",
        "CN=x",
        "--binding",
        "tls-unique",
    )
    lab.cli.ok("renew", "--state", lab.state, "--tls-max", "1.2", "--after-202", "keep-connection")
    assert {entry["tls_version"] for entry in lab.server.log()} == {"TLSv1.2"}


@pytest.mark.slow
def test_est_153_renew_change_name(lab: Lab) -> None:
    """The whole device: another name once asked for is the one that later renewals keep."""
    lab.server.policy.change_subject_name = "any"
    lab.enrolled("device", "--san", "DNS:old.example")
    renew = ("renew", "--state", lab.state)
    for flag, value in (("--subject", "CN=new"), ("--san", "DNS:new.example")):
        assert "--change-name" in lab.cli.fails(2, *renew, flag, value)
    assert "needs the new name" in lab.cli.fails(2, *renew, "--change-name")
    lab.cli.ok(*renew, "--change-name", "--subject", "CN=new")
    lab.cli.ok(*renew, "--subject", "CN=new")
    renewed = leaf(lab.state / "current.pem")
    assert (renewed.subject.rfc4514_string(), alternative_names(renewed)) == ("CN=new", ["old.example"])
    assert lab.operations().count(("simplereenroll", 200)) == 2
    assert "FAIL" not in lab.cli.ok("doctor", "--state", lab.state, "--online").out


@pytest.mark.slow
def test_est_177_renewals_answer_what_the_server_asks(lab: Lab) -> None:
    drink = "0.9.2342.19200300.100.1.5"
    lab.enrolled()
    lab.server.policy.demands = [Demand(form="rfc9908", attributes=(drink,))]
    renew = ("renew", "--state", lab.state)
    assert drink in lab.cli.fails(7, *renew)
    lab.cli.ok(*renew, "--attribute", f"{drink}=der:0c03746561")


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["same-csr", "keep-connection"])
def test_what_is_sent_again_needs_something_to_wait_for(lab: Lab, tmp_path: Path, policy: str) -> None:
    """Without a journal the next run sends another request whatever was said; what only reads sends none (EST-163)."""
    words = (
        "est",
        "enroll",
        *lab.trust,
        *lab.login,
        "--key",
        lab.key(),
        "--subject",
        "CN=x",
        "--out",
        tmp_path / "x.pem",
    )
    assert "give --wait" in lab.cli.fails(2, *words, "--after-202", policy)
    asking = ("est", "serverkeygen", *lab.trust, *lab.login, "--allow-clear", "--key-out", tmp_path / "k.pem")
    assert "give --wait" in lab.cli.fails(2, *asking, "--after-202", policy)
    assert "unrecognized" in lab.cli.fails(2, "est", "cacerts", *lab.trust, "--after-202", policy)
    assert lab.server.log() == []
    lab.cli.ok(*words, "--after-202", policy, "--wait", "1")
    lab.cli.ok(*words, env={"DEVICE_SDK_EST_AFTER_202": policy})
