"""A profile as a whole: read, checked, and what it needs from other files."""

from __future__ import annotations

import hashlib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from device_sdk.errors import ConfigurationError
from device_sdk.station.profile.essence import essence, essence_but_places
from device_sdk.station.profile.identity import (
    MAX_ALLOWED_BYTES,
    DeviceTable,
    IdentityTable,
    device_table,
    identity_table,
)
from device_sdk.station.profile.lines import LinesTable, TalkTable, lines_table, talk_table
from device_sdk.station.profile.security import EstTable, KeyTable, est_table, key_table
from device_sdk.station.profile.steps import Hook, LimitsTable, StepsTable, limits_table, steps_table
from device_sdk.station.profile.tables import Table
from device_sdk.station.profile.words import OF_CERTIFICATE, places
from device_sdk.station.run.states import Step

MODES = ("self", "relay", "configure")
MAX_BYTES = 256 * 1024
_MAX_ANCHORS = 256 * 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")

_OF_MODE: dict[str, tuple[Step, ...]] = {
    "self": (Step.CONFIGURE, Step.KEY, Step.ENROL, Step.PROVE),
    "relay": (Step.CONFIGURE, Step.KEY, Step.REQUEST, Step.ISSUE, Step.INSTALL, Step.PROVE),
    "configure": (Step.CONFIGURE,),
}


@dataclass(frozen=True)
class Profile:
    """What is to be done to which devices, and how.

    Attributes:
        file: where it is.
        sha256: of the file, 64 hex digits: what the ledger keeps beside name and version.
        name: of the profile.
        version: of the profile.
        mode: "self" (the device enrols itself over its own network), "relay" (the station carries its request to the
            server), "configure" (configuration and anchors only).
        essence: digest of what devices are made and judged by, see `essence`.
        essence_but_places: the same without where they keep what they are issued, see `essence_but_places`.
        lines, talk, key, est, device, identity, steps, limits: its tables.
    """

    file: Path
    sha256: str
    name: str
    version: str
    mode: str
    essence: str
    essence_but_places: str
    lines: LinesTable
    talk: TalkTable
    key: KeyTable
    est: EstTable
    device: DeviceTable
    identity: IdentityTable
    steps: StepsTable
    limits: LimitsTable

    @property
    def plan(self) -> tuple[str, ...]:
        """The names of all steps of a device, in order."""
        last = (Step.LABEL,) if self.steps.label else ()
        return (
            Step.OPEN,
            Step.IDENTIFY,
            Step.CLAIM,
            *(f"before:{one.name}" for one in self.steps.before),
            *(step for step in _OF_MODE[self.mode] if step != Step.CONFIGURE or self.device.config),
            *(f"after:{one.name}" for one in self.steps.after),
            *last,
        )

    def hook(self, step: str) -> Hook | None:
        """The command behind a step; None if it has none."""
        if step == Step.LABEL:
            return self.steps.label
        when, _, name = step.partition(":")
        hooks = {"before": self.steps.before, "after": self.steps.after}.get(when, ())
        return next((one for one in hooks if one.name == name), None)

    def limit_s(self, step: str) -> float:
        """How long a step may take, in seconds."""
        hook = self.hook(step)
        return hook.timeout_s if hook else self.limits.of(step)

    def anchors(self) -> tuple[x509.Certificate, ...]:
        """The trust anchors that certificates of devices have to lead to; read anew each time.

        Raises:
            ConfigurationError: the file cannot be read, or holds none.
        """
        return _certificates(self.est.anchors) if self.est.anchors else ()

    def ra_chain(self) -> tuple[x509.Certificate, ...]:
        """The station's own certificate with its chain; none where the profile names no file. Raises ConfigurationError."""
        return _certificates(self.est.ra_certificate) if self.est.ra_certificate else ()

    def device_anchors(self) -> bytes:
        """The anchors that devices get, PEM; b"" leaves those they have.

        Raises:
            ConfigurationError: the file cannot be read, or holds none.
        """
        file = self.device.anchors or self.est.anchors
        if file is None:
            return b""
        _certificates(file)
        return _read(file, _MAX_ANCHORS)

    def check_secrets(self) -> None:
        """Read every secret once, and forget it: what is missing is better said before the first device.

        Raises:
            ConfigurationError: one is not there.
        """
        for source in (self.talk.password, self.est.ra_pin):
            if source is not None:
                source.read()

    def allowed(self) -> frozenset[str] | None:
        """The serial numbers that are expected, None for any; empty lines and those that begin with # do not count.

        Raises:
            ConfigurationError: the list cannot be read.
        """
        file = self.identity.allowed
        if file is None:
            return None
        lines = (line.strip() for line in _read(file, MAX_ALLOWED_BYTES).decode("utf-8", "replace").splitlines())
        return frozenset(line for line in lines if line and not line.startswith("#"))


def load_profile(file: Path) -> Profile:
    """Read a profile (docs/provisioning.md).

    Raises:
        ConfigurationError: it cannot be read, says something that is not known or cannot be, or lacks something.
    """
    data = _read(file, MAX_BYTES)
    try:
        values = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{file}: is no TOML file: {error}") from error
    whole = Table(values, "", file)
    head = whole.table("profile")
    mode = head.text("mode", choices=MODES)
    device = device_table(whole.table("device"))
    profile = Profile(
        file=file,
        sha256=hashlib.sha256(data).hexdigest(),
        name=_named(head, "name"),
        version=_named(head, "version"),
        mode=mode,
        essence=essence(values, device.config.values if device.config else None),
        essence_but_places=essence_but_places(values, device.config.values if device.config else None),
        lines=lines_table(whole.table("lines")),
        talk=talk_table(whole.table("talk")),
        key=key_table(whole.table("key")),
        est=est_table(whole.table("est")),
        device=device,
        identity=identity_table(whole.table("identity")),
        steps=steps_table(whole.table("steps")),
        limits=limits_table(whole.table("limits"), (Step.OPEN, Step.IDENTIFY, *_OF_MODE[mode])),
    )
    head.end()
    whole.end()
    _require_parts(profile, whole)
    return profile


def _require_parts(profile: Profile, whole: Table) -> None:
    """What a mode cannot do without."""
    _refuse_early_words(profile, whole)
    if profile.mode == "configure":
        if profile.device.config is None:
            raise whole.error("device", 'needs config in mode "configure"')
        return
    if not profile.key.uri:
        raise whole.error("key", f'needs uri in mode "{profile.mode}"', hint='for example uri = "tpm2:"')
    if not (profile.est.anchors or profile.est.pins):
        raise whole.error("est", "needs anchors: the station checks every certificate against them")
    if profile.est.pins and not profile.est.url:
        raise whole.error("est", "needs url: pins are compared with what the server shows")
    if profile.mode == "relay":
        for name in ("url", "ra_certificate", "ra_key"):
            if not getattr(profile.est, name):
                raise whole.error("est", f'needs {name} in mode "relay"')


def _refuse_early_words(profile: Profile, whole: Table) -> None:
    """Each device would fail at a command that is to be told of a certificate which nobody has proved."""
    steps = profile.steps
    later = (*steps.after, *([steps.label] if steps.label else ()))
    for hook in (*steps.before, *(later if profile.mode == "configure" else ())):
        early = OF_CERTIFICATE.intersection(name for word in hook.command for name in places(word))
        if early:
            raise whole.error("steps", f"{hook.name} names ${{{min(early)}}}, and no certificate is proved before it")


def _named(head: Table, key: str) -> str:
    text = head.word(key)
    if not _NAME.fullmatch(text):
        raise head.error(key, "has to be 1 to 64 letters, digits, spaces, or any of ._-")
    return text


def _certificates(file: Path) -> tuple[x509.Certificate, ...]:
    try:
        return tuple(x509.load_pem_x509_certificates(_read(file, _MAX_ANCHORS)))
    except ValueError as error:
        raise ConfigurationError(f"{file} holds no readable certificate", hint="PEM is expected") from error


def _read(file: Path, limit: int) -> bytes:
    try:
        with file.open("rb") as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise ConfigurationError(f"cannot read {file}: {error.strerror}") from error
    if len(data) > limit:
        raise ConfigurationError(f"{file} is larger than {limit} bytes", hint="is it the file that was meant?")
    return data
