"""Who manages trust anchors: an apex with its contingency key, managers, and anchors to give to devices (RFC 5934 section 1.2).

Each is a CA of its own below `tamp-ca` in the server's state directory. None of them issues anything to devices.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc5652, rfc5914

from device_sdk_simulators.alone import alone
from device_sdk_simulators.ca.directory import single_authority
from device_sdk_simulators.ca.hierarchy import Authority
from device_sdk_simulators.ca.keys import load_key, pem, write_file, write_key
from device_sdk_simulators.packages.authority import PackageAuthority
from device_sdk_simulators.packages.constraints import content_constraints
from device_sdk_simulators.packages.signing import key_identifier
from device_sdk_simulators.packages.tamp.anchors import Form, anchor
from device_sdk_simulators.packages.tamp.contingency import Contingency, new_wrapping_key
from device_sdk_simulators.packages.tamp.kinds import APEX_UPDATE, KINDS
from device_sdk_simulators.softhsm import SimulatorError

APEX, MANAGEMENT, IDENTITY = "apex", "management", "identity"
DIRECTORY = "tamp-ca"
_CONTINGENCY, _WRAPPING_KEY = "contingency", "wrapping.key"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
# firmware, symmetric keys, encrypted key packages, asymmetric keys: what an anchor for management is for (section 1.2.2)
_MANAGED = (
    "1.2.840.113549.1.9.16.1.16",
    "1.2.840.113549.1.9.16.1.25",
    "2.16.840.1.101.2.1.2.78.2",
    "2.16.840.1.101.2.1.2.78.5",
)
# an apex is nobody else's to replace, and nobody's to delegate
_MESSAGES = tuple(one.content_type for one in KINDS.values() if one is not APEX_UPDATE)


@dataclass(frozen=True)
class Signer:
    """Who signs a message.

    Attributes:
        authority: the key, and the certificate that says its identifier.
        certificates: those that go along; none for an anchor itself.
        unsigned: attributes for a contingency key.
        name: for people.
    """

    authority: Authority
    certificates: tuple[x509.Certificate, ...] = ()
    unsigned: tuple[rfc5652.Attribute, ...] = ()
    name: str = ""

    @property
    def is_contingency(self) -> bool:
        """Whether its messages have the number 0 (section 4.5)."""
        return bool(self.unsigned)

    @property
    def key_identifier(self) -> bytes:
        """Of the key."""
        return key_identifier(self.authority.certificate)


class TampAuthority:
    """All anchors of a server; those it always has are made at first use.

    Args:
        state: the server's state directory.
        now: the present.
    """

    def __init__(self, state: Path, now: datetime) -> None:
        self._directory, self._now = state / DIRECTORY, now
        self._lock = self._directory / "lock"
        for directory in (self._directory, self._directory / _CONTINGENCY):
            directory.mkdir(mode=0o700, exist_ok=True)
        for name in (APEX, MANAGEMENT, IDENTITY):
            self.make(name)

    def make(self, name: str, kind: str = "ec-p256") -> PackageAuthority:
        """An anchor, made unless it is there.

        Args:
            name: "apex", "management" and "identity", or one of these, a hyphen and more, are anchors of that role.
            kind: of its key.

        Raises:
            SimulatorError: a name without a role.
        """
        with alone(self._lock):
            return self._make(name, kind)

    def _make(self, name: str, kind: str = "ec-p256") -> PackageAuthority:
        role = role_of(name)
        extensions: Sequence[x509.ExtensionType] = ()
        if role == APEX:
            extensions = [self._contingency(name).extension()]
        elif role == MANAGEMENT:
            extensions = [content_constraints([*_MESSAGES, *_MANAGED])]
        title = f"Reference {_words(name)}"
        return PackageAuthority(self._directory / name, title, self._now, extensions=extensions, kind=kind)

    def names(self) -> list[str]:
        """All that were made."""
        return sorted(path.parent.name for path in self._directory.glob("*/root.pem"))

    def names_by_key(self) -> dict[str, str]:
        """The same by key identifiers, in hex."""
        return {key_identifier(self.authority(one).root.certificate).hex(): one for one in self.names()}

    def authority(self, name: str) -> PackageAuthority:
        """One that is there; SimulatorError if it is not."""
        if name not in self.names():
            raise SimulatorError(f"no trust anchor {name}; there are {', '.join(self.names())}")
        return self.make(name)

    def signer(self, name: str, *, by_path: bool = False) -> Signer:
        """An anchor, or the holder of a certificate below it, who signs with the same key again and again.

        Args:
            name: of the anchor.
            by_path: sign with the certificate.

        Raises:
            SimulatorError: there is no such anchor.
        """
        found = self.authority(name)
        if not by_path:
            return Signer(found.root, name=name)
        key, certificate = found.directory / "signer.key", found.directory / "signer.pem"
        with alone(self._lock):
            if not certificate.exists() or _over(certificate, self._now):
                made = found.signer(f"{_words(name)} signer", self._now, extensions=[content_constraints(_MESSAGES)])
                write_key(key, made.key)
                write_file(certificate, pem(made.certificate))
        below = Authority(x509.load_pem_x509_certificate(certificate.read_bytes()), load_key(key))
        return Signer(below, (below.certificate,), name=f"{name} (path)")

    def contingency_signer(self, name: str = APEX) -> Signer:
        """The second key of an apex; SimulatorError if there is no such apex."""
        self.authority(name)
        contingency = self._contingency(name)
        return Signer(contingency.authority, unsigned=(contingency.disclosed(),), name=f"{name} (contingency)")

    def next_apex(self) -> str:
        """Make another apex, for an update; its name."""
        with alone(self._lock):
            number = 2
            while (self._directory / f"{APEX}-{number}").exists():
                number += 1
            name = f"{APEX}-{number}"
            self._make(name)
        return name

    def export(
        self, out: Path, form: Form = "info", names: Sequence[str] = (APEX, MANAGEMENT)
    ) -> list[dict[str, object]]:
        """Write what a device has from the factory; what was written.

        Args:
            out: a directory: for each anchor NAME.pem, the certificate, and NAME.der, a TrustAnchorChoice; and `anchors.der`, a
                TrustAnchorList in a ContentInfo (RFC 5914 section 3), the apex first.
            form: of the anchors.
            names: which.

        Raises:
            SimulatorError: there is no such anchor.
            OSError: it cannot be written there.
        """
        out.mkdir(parents=True, exist_ok=True)
        found: list[dict[str, object]] = []
        listed = rfc5914.TrustAnchorList()
        for position, name in enumerate(names):
            certificate = self.authority(name).root.certificate
            choice = anchor(certificate, form, title=_words(name))
            listed[position] = choice
            write_file(out / f"{name}.pem", pem(certificate), 0o644)
            write_file(out / f"{name}.der", bytes(encode(choice)), 0o644)
            identifier = key_identifier(certificate).hex()
            found.append({"name": name, "role": role_of(name), "key_id": identifier, "file": str(out / f"{name}.der")})
        info = rfc5652.ContentInfo()
        info["contentType"], info["content"] = rfc5914.id_ct_trustAnchorList, encode(listed)
        write_file(out / "anchors.der", bytes(encode(info)), 0o644)
        return found

    def _contingency(self, name: str) -> Contingency:
        # in place before the apex that speaks of it
        directory = self._directory / _CONTINGENCY / name
        authority = single_authority(directory, f"Reference {_words(name)} contingency key", "ec-p256", self._now)
        path = directory / _WRAPPING_KEY
        if not path.exists():
            write_file(path, new_wrapping_key())
        return Contingency(authority, path.read_bytes())


def role_of(name: str) -> str:
    """Of an anchor, by its name; SimulatorError for a name without a role."""
    role = name.partition("-")[0]
    if role not in (APEX, MANAGEMENT, IDENTITY) or not _NAME.fullmatch(name):
        raise SimulatorError(f"{name}: trust anchors are called apex-..., management-... or identity-...")
    return role


def _words(name: str) -> str:
    return f"{name.replace('-', ' ')} trust anchor"


def _over(certificate: Path, now: datetime) -> bool:
    return now >= x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
