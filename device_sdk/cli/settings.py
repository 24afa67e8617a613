"""Where a setting comes from: flag, then environment, then config.d/*.toml (last file wins), then config.toml.

The table SETTINGS is the whole configuration: one row is a TOML key, an environment variable and a flag. Secrets are not
settings: the files that hold them are.
"""

from __future__ import annotations

import argparse
import os
import shlex
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from device_sdk.errors import ConfigurationError

CONFIG_FILE = Path("/etc/device-sdk/config.toml")
ESTABLISHING = KEY_TYPES = ("ec-p256", "ec-p384", "ec-p521", "rsa-2048", "rsa-3072", "rsa-4096")
BINDINGS = ("auto", "exporter", "finished", "tls-unique", "none")
AFTER_202 = ("rebuild", "keep-connection", "same-csr")
DIALECTS = ("rfc7030", "draft-04")
CONSTRAINTS = ("required", "if-present", "off")
POLICIES = ("everything", "authenticated", "hardened")
PROOFS = ("auto", "password", "bearer", "certificate", "none")
MAX_CONFIG_BYTES = 256 * 1024
_MAX_NUMBER = 10**9
_WORDS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


@dataclass(frozen=True)
class Setting:
    """One setting: `name` is "section.key" in TOML, DEVICE_SDK_SECTION_KEY in the environment, `flag` on the command line.

    `named` is the environment variable where that has another name: the library reads it, too. `kind` is "text", "list", "switch" or "number"; `choices` are the texts that are accepted, if not any text is.
    """

    name: str
    kind: str
    flag: str
    metavar: str
    help: str
    default: Any = None
    choices: tuple[str, ...] = ()
    named: str = ""

    @property
    def variable(self) -> str:
        """The environment variable."""
        return self.named or "DEVICE_SDK_" + self.name.upper().replace(".", "_").replace("-", "_")


SETTINGS = (
    Setting("state_dir", "text", "--state", "DIR", "the device's state directory", "/var/lib/device-sdk"),
    Setting("certificates_dir", "text", "--certificates-dir", "DIR", "where the certificates of keys under TPM handles are (default: /var/lib/device-sdk/tpm2-certificates, or a directory of the user)", named="DEVICE_SDK_CERTIFICATES"),
    Setting("key.uri", "text", "--key", "URI", "the key: pkcs11:..., tpm2:... or file:..."),
    Setting("key.type", "text", "--type", "TYPE", "what to generate: " + ", ".join(KEY_TYPES), choices=KEY_TYPES),
    Setting("key.pin_file", "text", "--key-pin-file", "FILE", "file holding the key's PIN, if its URI names none"),
    Setting("key.pin_fd", "number", "--key-pin-fd", "N", "file descriptor to read the key's PIN from"),
    Setting("key.allow_imported", "switch", "--allow-imported", "", "use keys that were made outside of their hardware", False),
    Setting("import.passphrase_file", "text", "--passphrase-file", "FILE", "file holding the passphrase of the key to import"),
    Setting("import.passphrase_fd", "number", "--passphrase-fd", "N", "file descriptor to read that passphrase from"),
    Setting("est.url", "text", "--url", "URL", "EST server, https://HOST:PORT"),
    Setting("est.label", "text", "--label", "LABEL", "CA label (RFC 7030 section 3.2.2)"),
    Setting("est.anchors", "text", "--anchors", "FILE", "PEM file with the trust anchors for the server"),
    Setting("est.pins", "list", "--pin", "sha256:HEX", "fingerprint of the CA certificate or its public key; repeatable"),
    Setting("est.implicit", "switch", "--implicit", "", "trust the operating system's anchors for the server", False),
    Setting("est.user", "text", "--user", "NAME", "user name for HTTP authentication"),
    Setting("est.password_file", "text", "--password-file", "FILE", "file holding the password"),
    Setting("est.password_fd", "number", "--password-fd", "N", "file descriptor to read the password from"),
    Setting("est.shared_secret_file", "text", "--shared-secret-file", "FILE", "file holding the secret shared with the CA (Full CMC)"),
    Setting("est.shared_secret_fd", "number", "--shared-secret-fd", "N", "file descriptor to read that secret from"),
    Setting("est.identification", "text", "--identification", "NAME", "name of the shared secret, sent in the clear"),
    Setting("est.otp_file", "text", "--otp-file", "FILE", "file holding a one-time password, sent if the server asks for it (RFC 7894)"),
    Setting("est.otp_fd", "number", "--otp-fd", "N", "file descriptor to read that one-time password from"),
    Setting("est.pkcs12_password_file", "text", "--pkcs12-password-file", "FILE", "file holding the password of the PKCS#12 file (est serverkeygen --pkcs12)"),
    Setting("est.pkcs12_password_fd", "number", "--pkcs12-password-fd", "N", "file descriptor to read that password from"),
    Setting("est.revocation_password_file", "text", "--revocation-password-file", "FILE", "file holding a password for a later revocation, sent if the server asks for it (RFC 7894)"),
    Setting("est.revocation_password_fd", "number", "--revocation-password-fd", "N", "file descriptor to read that password from"),
    Setting("est.srp_user", "text", "--srp-user", "NAME", "user name for TLS without certificates (SRP); off if not given"),
    Setting("est.srp_password_file", "text", "--srp-password-file", "FILE", "file holding that user's password"),
    Setting("est.srp_password_fd", "number", "--srp-password-fd", "N", "file descriptor to read that password from"),
    Setting("est.timeout_s", "number", "--timeout", "SECONDS", "limit for one exchange with the server", 120.0),
    Setting("est.wait_s", "number", "--wait", "SECONDS", "how long to wait when the server asks for patience", 0.0),
    Setting("est.retry", "switch", "--retry", "", "within --wait also try again when the server cannot be reached", False),
    Setting("est.redirects", "list", "--allow-redirect", "ORIGIN", "server to which requests may be sent on, https://HOST:PORT; repeatable"),
    Setting("est.proxy", "text", "--proxy", "URL", "HTTP proxy, if not the one of HTTPS_PROXY"),
    Setting("est.tls_max", "text", "--tls-max", "VERSION", "newest TLS version, 1.2 or 1.3", choices=("1.2", "1.3")),
    Setting("est.binding", "text", "--binding", "MODE", "what requests are bound to: " + ", ".join(BINDINGS), "auto", BINDINGS),
    Setting("est.after_202", "text", "--after-202", "POLICY", "what is sent after a 202: " + ", ".join(AFTER_202), "rebuild", AFTER_202),
    Setting("est.dialect", "text", "--dialect", "NAME", "how operations are spelt in paths: " + ", ".join(DIALECTS), "rfc7030", DIALECTS),
    Setting("identity.subject", "text", "--subject", "DN", 'subject, "CN=router-1,O=Example"'),
    Setting("identity.san", "list", "--san", "TYPE:VALUE", "subjectAltName: DNS:, IP:, URI:, email:, HWMODULE:OID:HEX; repeatable"),
    Setting("identity.mac", "text", "--mac", "MAC", "MAC address for the request: auto, an interface, or the address itself"),
    Setting("identity.serial", "text", "--serial", "SOURCE", "serial number: dmi, device-tree, machine-id, or the value itself"),
    Setting("identity.serial_command", "list", "--serial-command", "WORD", "command that prints the serial number; one word each"),
    Setting("identity.hardware_type", "text", "--hardware-type", "OID", "hwType of hardwareModuleName; needs a serial number"),
    Setting("identity.attributes", "list", "--attribute", "OID=VALUE", "value for something the server may ask for: text, der:HEX; repeatable"),
    Setting("renewal.url", "text", "--renew-url", "URL", "EST server for renewals, if it is not --url; needed with --srp-user"),
    Setting("renewal.threshold", "number", "--threshold", "SHARE", "share of the lifetime after which to renew", 2 / 3),
    Setting("renewal.rekey", "switch", "--rekey", "", "make a new key at each renewal", True),
    Setting("renewal.keep_old", "switch", "--keep-old", "", "keep the old key and certificate after a renewal", False),
    Setting("sync.limit_s", "number", "--limit", "SECONDS", "begin nothing more after so long; the next run goes on", 3600.0),
    Setting("keys.to", "text", "--keys-to", "URI|DIR", "where symmetric keys from the server go: a token, or a directory; sync takes none if not given"),
    Setting("keys.anchors", "text", "--keys-anchors", "FILE", "PEM file: who vouches for those who sign packages of keys (default: who manages the device, see `device-sdk anchors`)"),
    Setting("keys.replace", "switch", "--keys-replace", "", "replace keys that are there under the same identifier", False),
    Setting("keys.open_with", "list", "--keys-open-with", "URI", "further key that opens packages of keys, besides the device's; repeatable"),
    Setting("keys.device_bindings", "list", "--keys-device-binding", "TEXT", "identifier by which keys may be bound to this device; repeatable"),
    Setting("keys.constraints", "text", "--keys-constraints", "MODE", "content constraints of signers (RFC 6010): " + ", ".join(CONSTRAINTS), "if-present", CONSTRAINTS),
    Setting("keys.allow_unencrypted", "switch", "--keys-allow-unencrypted", "", "take packages of keys that nothing but TLS protects", False),
    Setting("keys.allow_unaddressed", "switch", "--keys-allow-unaddressed", "", "take packages of keys that are signed inside their encryption only, and not bound to this device", False),
    Setting("keys.returns", "switch", "--keys-returns", "", "send receipts that are asked for, and errors, about packages of keys", True),
    Setting("keys.receipt_recipient", "text", "--keys-receipt-recipient", "FILE", "certificate, PEM: to whom receipts and errors about packages of keys are encrypted if the package asks for that"),
    Setting("generated.key", "text", "--generated-key", "URI", "where a private key goes that the server generates; sync takes none if not given"),
    Setting("generated.out", "text", "--generated-out", "FILE", "where its certificate goes"),
    Setting("generated.anchors", "text", "--generated-anchors", "FILE", "PEM file: who vouches for those who sign packages with such keys"),
    Setting("generated.allow_unaddressed", "switch", "--generated-allow-unaddressed", "", "take packages with such keys that are signed inside their encryption only", False),
    Setting("generated.pkcs12_password_file", "text", "--generated-pkcs12-password-file", "FILE", "file holding the password of PKCS#12 files with such keys"),
    Setting("generated.returns", "switch", "--generated-returns", "", "send receipts that are asked for, and errors, about packages with such keys", True),
    Setting("generated.receipt_recipient", "text", "--generated-receipt-recipient", "FILE", "certificate, PEM: to whom receipts and errors about packages with such keys are encrypted if the package asks for that"),
    Setting("key_establishment.key", "text", "--key-establishment-key", "URI", "key that is made when the server asks for a certificate for key establishment; sync gets none if not given"),
    Setting("key_establishment.type", "text", "--key-establishment-type", "TYPE", "what to make: " + ", ".join(ESTABLISHING), choices=ESTABLISHING),
    Setting("firmware.installer", "text", "--firmware-installer", "PROGRAM", "what takes firmware: PROGRAM stage|commit|rollback FILE, PROGRAM active SHA256, PROGRAM ready; sync takes none if not given"),
    Setting("firmware.out", "text", "--firmware-out", "FILE", "or a file that firmware replaces"),
    Setting("firmware.directory", "text", "--firmware-directory", "DIR", "where packages and their firmware wait"),
    Setting("firmware.anchors", "text", "--firmware-anchors", "FILE", "PEM file: who vouches for those who sign firmware (default: who manages the device, see `device-sdk anchors`)"),
    Setting("firmware.constraints", "text", "--firmware-constraints", "MODE", "content constraints of signers (RFC 6010): " + ", ".join(CONSTRAINTS), "if-present", CONSTRAINTS),
    Setting("firmware.hardware_type", "text", "--firmware-hardware-type", "OID", "type of this hardware module"),
    Setting("firmware.serial", "text", "--firmware-serial", "HEX", "its serial number, for packages and reports that name it"),
    Setting("firmware.packages", "list", "--firmware-package", "OID", "take this package only, by the object identifier in its name; repeatable"),
    Setting("firmware.communities", "list", "--firmware-community", "OID", "a community it is in; repeatable"),
    Setting("firmware.open_with", "list", "--firmware-open-with", "URI", "further key that opens firmware packages, besides the device's; repeatable"),
    Setting("firmware.counter", "text", "--firmware-counter", "URI", "a monotonic counter of the TPM that the record of installed firmware is bound to: tpm2:nv=0x01800100"),
    Setting("firmware.max_bytes", "number", "--firmware-max-bytes", "N", "the largest package, and the largest firmware in it"),
    Setting("firmware.installer_limit_s", "number", "--firmware-installer-limit", "SECONDS", "limit for each call of the installer, which is ended with all that it started", 1800.0),
    Setting("firmware.min_rate", "number", "--firmware-min-rate", "N", "bytes a second: give up a download that is slower for longer than --timeout", 1024.0),
    Setting("firmware.allow_downgrade", "switch", "--firmware-allow-downgrade", "", "take an older version than the one installed, unless it is stale", False),
    Setting("firmware.returns", "switch", "--firmware-returns", "", "send receipts and errors about firmware", True),
    Setting("agent.commands", "list", "--allow-command", "COMMAND", "command that a station on the line may have this device run, its words as in a shell; repeatable"),
    Setting("cale.url", "text", "--url", "URL", "CALE edge device, https://HOST:PORT"),
    Setting("cale.application", "text", "--application", "NAME", "whose CALE registration; each application has its own", "default"),
    Setting("cale.key", "text", "--key", "URI", "key that answers are encrypted to; the device's key if not given"),
    Setting("cale.type", "text", "--type", "TYPE", "what to make if there is no such key: " + ", ".join(KEY_TYPES), choices=KEY_TYPES),
    Setting("cale.policy", "text", "--policy", "NAME", "algorithms that are accepted: " + ", ".join(POLICIES), "everything", POLICIES),
    Setting("cale.negotiate", "switch", "--negotiate", "", "tell the server in the request which algorithms and answers are accepted", True),
    Setting("cale.max_bytes", "number", "--max-bytes", "N", "the largest acceptable answer, still encrypted", 1572864.0),
    Setting("cale.encrypted_errors", "switch", "--encrypted-errors", "", "an answer that opens to {\"error\": 502} is an error behind the edge device", True),
    Setting("cale.proof", "text", "--proof", "KIND", "what proves the identity at registration: " + ", ".join(PROOFS), "auto", PROOFS),
    Setting("cale.bearer_file", "text", "--bearer-file", "FILE", "file holding a bearer token that proves the identity"),
    Setting("cale.bearer_fd", "number", "--bearer-fd", "N", "file descriptor to read that token from"),
    Setting("station.ledger", "text", "--ledger", "FILE|URL", "the station's ledger: an SQLite file, or postgresql://HOST/DATABASE?user=NAME", "/var/lib/device-sdk-station/ledger.sqlite"),
    Setting("station.directory", "text", "--directory", "DIR", "where the station keeps what is under way", "/var/lib/device-sdk-station"),
    Setting("station.name", "text", "--station", "NAME", "the station's name in the ledger (default: this machine's)"),
    Setting("station.operator", "text", "--operator", "NAME", "who is at the station, for the ledger (default: the user)"),
)  # fmt: skip

BY_NAME = {setting.name: setting for setting in SETTINGS}


def add_settings(parser: argparse.ArgumentParser, *names: str) -> None:
    """Give a command the flags of these settings; what is not given on the command line is left out."""
    for name in names:
        setting = BY_NAME[name]
        text = f"{setting.help} [{setting.variable}]"
        common: dict[str, Any] = {"dest": name, "default": argparse.SUPPRESS, "help": text.replace("%", "%%")}
        if setting.kind == "switch":
            parser.add_argument(setting.flag, action=argparse.BooleanOptionalAction, **common)
        elif setting.kind == "list":
            parser.add_argument(setting.flag, action="append", metavar=setting.metavar, **common)
        elif setting.kind == "number":
            parser.add_argument(setting.flag, type=float, metavar=setting.metavar, **common)
        else:
            choices = setting.choices or None
            parser.add_argument(setting.flag, metavar=setting.metavar, choices=choices, **common)


class Source(IntEnum):
    """Where a value came from; the larger one wins."""

    DEFAULT = 0
    FILE = 1
    ENVIRONMENT = 2
    FLAG = 3


class Settings:
    """The settings of one run.

    Args:
        options: parsed flags; destinations are setting names.
        environment: normally os.environ.
        config: the configuration file; a missing one is an error only if it was named by flag or environment.
        may_be_missing: not even then.
        instead: settings by name to take for those of the configuration file, which is not read then; config.d is.

    Raises:
        ConfigurationError: a file that cannot be read, an unknown key, or a value of the wrong kind.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        environment: Mapping[str, str] = os.environ,
        config: str | None = None,
        *,
        may_be_missing: bool = False,
        instead: Mapping[str, Any] | None = None,
    ) -> None:
        named = config or environment.get("DEVICE_SDK_CONFIG")
        must_exist = named is not None and not may_be_missing
        self._files = _read_files(Path(named) if named else CONFIG_FILE, instead, must_exist=must_exist)
        self._environment = environment
        self._options = dict(vars(options))

    def get(self, name: str) -> Any:
        """A setting's value, or its default."""
        setting, source = BY_NAME[name], self.source(name)
        if source is Source.FLAG:
            return self._options[name]
        if source is Source.ENVIRONMENT:
            return _from_text(setting, self._environment[setting.variable])
        return self._files.get(name, setting.default)

    def override(self, name: str, value: Any) -> None:
        """Go on as if a flag had said so."""
        self._options[name] = value

    def source(self, name: str) -> Source:
        """Where a setting's value comes from."""
        if name in self._options:
            return Source.FLAG
        if BY_NAME[name].variable in self._environment:
            return Source.ENVIRONMENT
        return Source.FILE if name in self._files else Source.DEFAULT

    def text(self, name: str) -> str | None:
        """A text setting; None if it is not set or empty."""
        value = self.get(name)
        return str(value) if value else None

    def require(self, name: str) -> str:
        """A text setting that this command cannot do without.

        Raises:
            ConfigurationError: it is not set; says the three ways to set it.
        """
        value = self.text(name)
        if value is None:
            setting = BY_NAME[name]
            raise ConfigurationError(
                f"{name} is not set",
                hint=f"give {setting.flag}, set {setting.variable}, or write it to {CONFIG_FILE}",
            )
        return value

    def list(self, name: str) -> tuple[str, ...]:
        """A list setting."""
        return tuple(str(item) for item in self.get(name) or ())

    def switch(self, name: str) -> bool:
        """A yes-or-no setting."""
        return bool(self.get(name))

    def number(self, name: str) -> float | None:
        """A number setting.

        Raises:
            ConfigurationError: it is not a finite number, or out of all proportion.
        """
        value = self.get(name)
        if value is not None and not (abs(value) <= _MAX_NUMBER):  # NaN is not
            raise ConfigurationError(f"{name} must be a number up to {_MAX_NUMBER:,}")
        return None if value is None else float(value)


def _read_files(main: Path, instead: Mapping[str, Any] | None, *, must_exist: bool) -> dict[str, Any]:
    values: dict[str, Any] = dict(instead or {})
    extra = main.parent / "config.d"
    try:
        files = [main] if instead is None and (must_exist or main.exists()) else []
        files += sorted(extra.glob("*.toml")) if extra.is_dir() else []
    except OSError as error:
        raise _unreadable(main.parent, error) from error
    for file in files:
        values |= _flatten(str(file), _read_toml(file))
    return values


def read_config(content: bytes, where: str) -> dict[str, Any]:
    """The settings that the content of a configuration file makes, by name.

    Args:
        content: TOML.
        where: what it is, for messages.

    Raises:
        ConfigurationError: no TOML, an unknown setting, or a value of the wrong kind.
    """
    return _flatten(where, _parsed(content, where))


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise _unreadable(file, error) from error
    if len(raw) > MAX_CONFIG_BYTES:
        words = f"{file} is larger than {MAX_CONFIG_BYTES} bytes"
        raise ConfigurationError(words, hint="is it the file that was meant (--config)?")
    return _parsed(raw, str(file))


def _parsed(content: bytes, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:
        words = f"cannot read configuration {where}: {error}"
        raise ConfigurationError(words, hint="it has to be TOML; device-sdk config shows what may be in it") from error


def _unreadable(place: Path, error: OSError) -> ConfigurationError:
    from device_sdk.cli.files import what_to_do

    words = f"cannot read configuration {place}: {error.strerror}"
    return ConfigurationError(words, hint=what_to_do(error, place))


def _flatten(file: str, table: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        inner = {f"{key}.{name}": item for name, item in value.items()} if isinstance(value, dict) else {key: value}
        for name, item in inner.items():
            if name not in BY_NAME:
                raise ConfigurationError(
                    f"{file}: unknown setting {name!r}", hint="device-sdk config lists all settings"
                )
            flat[name] = _checked(file, BY_NAME[name], item)
    return flat


def _checked(file: str, setting: Setting, value: Any) -> Any:
    fits: dict[str, Callable[[Any], bool]] = {
        "text": lambda v: isinstance(v, str),
        "switch": lambda v: isinstance(v, bool),
        "number": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
        "list": lambda v: isinstance(v, list) and all(isinstance(item, str) for item in v),
    }
    if not fits[setting.kind](value):
        raise ConfigurationError(f"{file}: {setting.name} must be a {setting.kind}, not {type(value).__name__}")
    if "\0" in (value if isinstance(value, str) else "".join(value) if isinstance(value, list) else ""):
        raise ConfigurationError(f"{file}: {setting.name} holds a NUL character")
    return _chosen(setting, value, f"{file}: {setting.name}")


def _from_text(setting: Setting, text: str) -> Any:
    """The value of an environment variable; a list is words as a shell would split them."""
    try:
        if setting.kind == "list":
            return shlex.split(text)
        if setting.kind == "switch":
            return _WORDS[text.strip().lower()]
        return float(text) if setting.kind == "number" else _chosen(setting, text, setting.variable)
    except (KeyError, ValueError) as error:
        raise ConfigurationError(f"{setting.variable} must be a {setting.kind}") from error


def _chosen(setting: Setting, value: Any, where: str) -> Any:
    if setting.choices and value and value not in setting.choices:
        raise ConfigurationError(f"{where} is {value!r}; it must be one of {', '.join(setting.choices)}")
    return value
