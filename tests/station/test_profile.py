"""Profiles: everything that is not as it should be is said at the start, with the table, the key and what to do."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from device_sdk.errors import ConfigurationError, WrongDeviceError
from device_sdk.station.profile import load_profile
from device_sdk.station.profile.template import Template
from device_sdk.wire.names import parse_dn, parse_san

RELAY = """
[profile]
name = "router"
version = 3
mode = "relay"
[lines]
globs = ["/dev/serial/by-id/*"]
[key]
uri = "tpm2:"
[key.attested]
fixed_tpm = true
[est]
url = "https://est.example"
anchors = "ca.pem"
ra_certificate = "station.pem"
ra_key = "pkcs11:token=station;object=ra"
[device]
config = '''
state_dir = "/var/lib/device-sdk"
[identity]
subject = "CN=${serial_number}"
'''
[identity]
serial_number = "SN-[0-9]{4}"
oui = ["02-00-5E"]
[[steps.before]]
name = "flash"
command = ["./flash", "${line}"]
timeout_s = 300
[[steps.after]]
name = "self test"
on = "device"
command = ["/usr/bin/selftest"]
[steps.label]
command = ["lpr", "-T", "${serial_number}"]
[limits]
retries = 5
[limits.steps]
key = 120
"""


@pytest.fixture
def load(tmp_path):
    def loaded(text: str):
        (tmp_path / "p.toml").write_text(text)
        return load_profile(tmp_path / "p.toml")

    return loaded


def test_a_profile_is_read_whole(load, tmp_path):
    profile = load(RELAY)
    assert (profile.name, profile.version, profile.mode) == ("router", "3", "relay")
    assert profile.plan == (
        "open", "identify", "claim", "before:flash", "configure", "key", "request", "issue", "install", "prove",
        "after:self test", "label",
    )  # fmt: skip
    assert (profile.limit_s("key"), profile.limit_s("install"), profile.limit_s("before:flash")) == (120, 60, 300)
    assert profile.hook("label").command == ("lpr", "-T", "${serial_number}")
    assert profile.est.anchors == tmp_path / "ca.pem"
    assert profile.identity.oui == ("02:00:5e",)
    assert profile.key.attested == {"fixed_tpm": True}
    assert len(profile.sha256) == 64


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("globs =", "glob =", r"\[lines\] glob is not known here \(did you mean globs\?\)"),
        ("[limits]", '[talk.uboot_variables]\na = "b"\n[limits]', r"uboot_variables are given, and the boot .* \(uboot = true\)"),
        ("[limits]", '[talk.uboot_variables]\n"a;b" = "c"\n[limits]', r"uboot_variables.a;b cannot be set: 'a;b' is no variable"),
        ("[limits]", "[talk.uboot_variables]\na = \"it's\"\n[limits]", r"uboot_variables.a cannot be set: a: .* no quote"),
        ("[limits]", "[limit]\n[limits]", r"limit is not known here \(did you mean limits\?\)"),
        ('mode = "relay"', 'mode = "relais"', r"\[profile\] mode cannot be 'relais' \(one of: self, relay, configure\)"),
        ("retries = 5", "retries = 5.5", r"\[limits\] retries has to be a whole number"),
        ("retries = 5", "retries = true", r"\[limits\] retries has to be a number from 0 to 100"),
        ("key = 120", "keys = 120", r"\[limits.steps\] keys is not known here \(did you mean key\?\)"),
        ('uri = "tpm2:"', "", r'key needs uri in mode "relay"'),
        ('ra_key = "', '# "', r'est needs ra_key in mode "relay"'),
        ('anchors = "ca.pem"', "", "est needs anchors"),
        ('url = "https', 'password = "x"\nurl = "https', r"\[est\] password is not taken: a profile holds no secrets"),
        ("https://", "https://user:S3CRET@", r"\[est\] url cannot be used: https://\*\*\*@.*: the URL holds credentials"),
        ("[key.attested]", '[key.attested]\nuser_pin = "S3CRET"', "attested.user_pin is not taken: a profile holds no"),
        ("object=ra", "object=ra?pin-value=1", "ra_key names a PIN"),
        ("SN-[0-9]{4}", "SN-[0-9", r"serial_number is no regular expression"),
        ('"02-00-5E"', '"02"', "is not three bytes"),
        ("${line}", "${lines}", r"command names \$\{lines\}, which nothing stands for"),
        ('"./flash"', '"${model}"', "has to name its program itself"),
        ("./flash", './flash", "${certificate_sha256}', r"steps flash names \$\{certificate_sha256\}, and no certificate"),
        ("CN=${serial_number}", "CN=${certificate_serial}", r"nothing stands for \$\{certificate_serial\} yet"),
        ("CN=${serial_number}", "CN=${serial}", r"nothing stands for \$\{serial\}"),
        ("[identity]\nsubject", "[identity\nsubject", "is no TOML"),
        ('name = "self test"', 'name = "../x"', r"steps.after\[1\]\] name has to be"),
        ('on = "device"', 'on = "moon"', "on cannot be 'moon'"),
        ('[profile]\nname = "router"', "[profile]\nname = 5.5", r"\[profile\] name has to be a text"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(load, old, new, words):
    assert old in RELAY
    with pytest.raises(ConfigurationError, match=words):
        load(RELAY.replace(old, new, 1))


def test_a_profile_without_proofs_names_no_certificate(load):
    with pytest.raises(ConfigurationError, match=r"label names \$\{certificate_sha256\}"):
        load(
            RELAY.replace('"relay"', '"configure"')
            .replace("key = 120", "")
            .replace('"-T"', '"-T", "${certificate_sha256}"')
        )


def test_every_template_comes_back_as_it_was(load):
    text = """
a = 1
b = -0.5
c = true
d = "x"
e = [1, "y", { "f g" = [] }]
when = 2026-11-21T10:00:00Z
["odd key".below]
z = "\\u007f\\n\\"${serial_number}\\" $$ ä"
"""
    found = tomllib.loads(Template.parse(text, "t").render({"serial_number": "SN-1"}).decode())
    expected = tomllib.loads(text)
    expected["odd key"]["below"]["z"] = '\x7f\n"SN-1" $ ä'
    assert found == expected


@pytest.mark.parametrize(
    "said", ['x"\\', '"]\nevil = true #', "a\\u0022", "${mac}", "'''", "\N{RIGHT-TO-LEFT MARK}x" * 3]
)
def test_nothing_a_device_says_becomes_more_than_a_part_of_a_string(said):
    template = Template.parse('subject = "CN=${serial_number}"\nother = "${mac}"', "t")
    words = {"serial_number": said, "mac": "02:00:5e:00:00:01"}
    if said.isprintable():
        assert tomllib.loads(template.render(words).decode()) == {"subject": f"CN={said}", "other": words["mac"]}
    else:
        with pytest.raises(WrongDeviceError, match="control characters"):
            template.render(words)


_NAMES = {
    "SN-1": "SN-1",
    "x,CN=SN-1": "x,CN=SN-1",
    "x+O=y": "x+O=y",
    "x/CN=SN-1": "x/CN=SN-1",
    "\\": "\\",
    "\\,O=y": "\\,O=y",
    "#0c0141": "#0c0141",
    '"<>;=': '"<>;=',
    "a b": "a b",
    "ä": "ä",
    "${mac}": "${mac}",
    " x": None,
    "x ": None,
}


@pytest.mark.parametrize("subject", ["OU=${model},CN=${serial_number},O=$$", "/O=$$/CN=${serial_number}/OU=${model}"])
@pytest.mark.parametrize("said", _NAMES)
def test_a_devices_word_stays_one_value_of_a_subject(subject, said):
    template = Template.parse(f'[identity]\nsubject = "{subject}"', "t")
    for words in ({"serial_number": said, "model": "m"}, {"serial_number": "m", "model": said}):
        if _NAMES[said] is None:
            with pytest.raises(WrongDeviceError):
                template.render(words)
            continue
        made = parse_dn(tomllib.loads(template.render(words).decode())["identity"]["subject"])
        assert [(part.rfc4514_attribute_name, part.value) for part in made] == [
            ("O", "$"), ("CN", words["serial_number"]), ("OU", words["model"])
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("alternative", "said", "good"),
    [
        ("DNS:${model}.example", "r-1", True),
        ("DNS:${model}.example", "evil.bank", False),
        ("DNS:${model}.example", "*", False),
        ("DNS:${model}", "est.example.com", False),
        ("email:${model}@a.example", "x@bank.example", False),
        ("URI:urn:dev:mac:${model}", "02:00:5e", True),
        ("URI:https://${model}.example/", "bank.example/", False),
        ("URI:https://${model}.example/", "bank.example?", False),
        ("IP:192.0.2.${model}", "7", True),
        ("IP:192.0.2.${model}", "x", False),
        ("HWMODULE:1.3.6.1.4.1.32473.1:${model}", "0a0b", True),
        ("HWMODULE:1.3.6.1.4.1.32473.1:${model}", "serial", False),
        ("dirName:CN=${model},O=x", "a,O=y", True),
        ("dirName:/O=x/CN=${model}", "a/O=y", True),
    ],
)
def test_a_devices_word_stays_a_part_of_an_alternative_name(alternative, said, good):
    template = Template.parse(f'[identity]\nsan = ["{alternative}"]', "t")
    if not good:
        with pytest.raises(WrongDeviceError):
            template.render({"model": said})
        return
    (made,) = tomllib.loads(template.render({"model": said}).decode())["identity"]["san"]
    if alternative.startswith("dirName"):
        assert {part.value for part in parse_san(made).value} == {"x", said}
    else:
        assert made == alternative.replace("${model}", said)


@pytest.mark.parametrize(
    "identity",
    [
        'subject = "${model}"',
        'subject = "${model}=x"',
        'subject = "CN=a,${model}"',
        'subject = "CN=\\\\${model}"',
        'subject = "/CN=x\\\\${model}"',
        'subject = "CN=#${model}"',
        "subject = 5",
        'san = "DNS:a"',
        "san = [5]",
        'san = ["${model}"]',
        'san = ["${model}:a.example"]',
        'san = ["DNS:a b"]',
        'san = ["dirName:${model}"]',
    ],
)
def test_a_place_for_a_whole_name_or_a_kind_of_name_is_no_template(identity):
    with pytest.raises(ConfigurationError, match=r"t: identity\.(subject|san)"):
        Template.parse(f"[identity]\n{identity}", "t")


def test_what_a_device_does_not_say_is_no_empty_text():
    with pytest.raises(WrongDeviceError, match=r"needs \$\{model\}, and this device does not say it"):
        Template.parse('m = "${model}"', "t").render({"model": ""})


def test_secrets_are_read_where_the_profile_says(load, tmp_path, monkeypatch):
    text = RELAY + '[talk]\nway = "console"\nuser = "root"\n'
    (tmp_path / "pw").write_text("geheim\n")
    assert load(text + 'password_file = "pw"').talk.password.read().reveal() == b"geheim"
    monkeypatch.setenv("LAB_PASSWORD", "auch geheim")
    assert load(text + 'password_env = "LAB_PASSWORD"').talk.password.read().reveal() == b"auch geheim"
    with pytest.raises(ConfigurationError, match="holds no secret"):
        load(text + 'password_env = "NOT_THERE"').talk.password.read()
    with pytest.raises(ConfigurationError, match="does not go together"):
        load(text + 'password_env = "A"\npassword_file = "pw"')


def test_the_profile_of_the_documentation_is_one(load):
    document = (Path(__file__).parents[2] / "docs" / "provisioning.md").read_text()
    (text,) = re.findall(r"```toml\n(.*?)```", document, re.DOTALL)
    profile = load(text)
    assert (profile.name, profile.talk.way, profile.steps.after[0].on) == ("router", "console", "device")
