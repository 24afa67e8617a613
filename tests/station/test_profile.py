"""Profiles: everything that is not as it should be is said at the start, with the table, the key and what to do."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from device_sdk.errors import ConfigurationError, WrongDeviceError
from device_sdk.station.profile import load_profile
from device_sdk.station.profile.template import Template

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
        ("[limits]", "[limit]\n[limits]", r"limit is not known here \(did you mean limits\?\)"),
        ('mode = "relay"', 'mode = "relais"', r"\[profile\] mode cannot be 'relais' \(one of: self, relay, configure\)"),
        ("retries = 5", "retries = 5.5", r"\[limits\] retries has to be a whole number"),
        ("retries = 5", "retries = true", r"\[limits\] retries has to be a number from 0 to 100"),
        ("key = 120", "keys = 120", r"\[limits.steps\] keys is not known here \(did you mean key\?\)"),
        ('uri = "tpm2:"', "", r'key needs uri in mode "relay"'),
        ('ra_key = "', '# "', r'est needs ra_key in mode "relay"'),
        ('anchors = "ca.pem"', "", "est needs anchors"),
        ('url = "https', 'password = "x"\nurl = "https', r"\[est\] password is not taken: a profile holds no secrets"),
        ("object=ra", "object=ra?pin-value=1", "ra_key names a PIN"),
        ("SN-[0-9]{4}", "SN-[0-9", r"serial_number is no regular expression"),
        ('"02-00-5E"', '"02"', "is not three bytes"),
        ("${line}", "${lines}", r"command names \$\{lines\}, which nothing stands for"),
        ('"./flash"', '"${model}"', "has to name its program itself"),
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
