"""What a state directory says about its device."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from device_sdk.state.fields import Fields, dump, format_time


@dataclass(frozen=True)
class Endpoint:
    """Where this device is enrolled.

    Attributes:
        url: the EST base URL.
        label: CA label (RFC 7030 section 3.2.2), or None.
        implicit: whether the operating system's trust store may anchor this server beside the Explicit anchors.
        announce: name the Explicit anchors in the ClientHello: the server was first met by way of the operating system's
            store, which is not used for it any more (EST-58). Absent in files of older versions: False.
    """

    url: str
    label: str | None = None
    implicit: bool = False
    announce: bool = False

    def anchored_by(self, *, implicit: bool | None) -> Endpoint:
        """The same endpoint with the operating system's store allowed or not; None leaves it as it is.

        Once that store is left, the Explicit anchors are named (RFC 7030 section 4.1.3).
        """
        if implicit is None:
            return self
        return replace(self, implicit=implicit, announce=not implicit)


@dataclass(frozen=True)
class IdentityRecord:
    """A key and its certificate.

    Attributes:
        key_uri: opens the key; never holds a PIN.
        certificate: SHA-256 of the leaf's DER in hex: the file is certificates/<sha256>.pem.
        created_here: whether the SDK generated this key for this directory; only such keys are ever deleted.
    """

    key_uri: str
    certificate: str
    created_here: bool = True

    @classmethod
    def from_fields(cls, fields: Fields) -> IdentityRecord:
        """Read one out of a file; StateCorruptError if it cannot be understood."""
        return cls(fields.key_uri("key_uri"), fields.digest("certificate"), fields.flag("created_here"))


@dataclass(frozen=True)
class DeviceState:
    """Content of state.json.

    Attributes:
        base_key_uri: the key URI its owner gave, which names of later keys are derived from; None before the first
            enrolment.
        current: the key and certificate in use; None before the first enrolment.
        previous: older pairs the owner asked to keep, newest first.
        anchors: SHA-256 of the anchors file in hex: trust/<sha256>.pem; None before the first enrolment.
        endpoint: where the device is enrolled; None before the first enrolment.
        mac_address: the one the requests of this device carry, or None; certificates do not repeat it.
        time_floor: a time that has certainly passed (vouched for by an issuing CA); None before the first enrolment.
        anchors_checked: when the server was last asked for its CA certificates (EST-113); None if that is not known.
    """

    base_key_uri: str | None = None
    current: IdentityRecord | None = None
    previous: tuple[IdentityRecord, ...] = ()
    anchors: str | None = None
    endpoint: Endpoint | None = None
    mac_address: str | None = None
    time_floor: datetime | None = None
    anchors_checked: datetime | None = None

    def to_bytes(self) -> bytes:
        """The file."""
        endpoint = self.endpoint
        return dump(
            {
                "base_key_uri": self.base_key_uri,
                "current": None if self.current is None else vars(self.current),
                "previous": [vars(record) for record in self.previous],
                "anchors": self.anchors,
                "endpoint": None if endpoint is None else vars(endpoint),
                "mac_address": self.mac_address,
                "time_floor": format_time(self.time_floor),
                "anchors_checked": format_time(self.anchors_checked),
            }
        )

    @classmethod
    def from_bytes(cls, path: Path, data: bytes) -> DeviceState:
        """Read the file.

        Raises:
            StateCorruptError: it cannot be understood.
            StateError: a newer version wrote it.
        """
        fields = Fields.parse(path, data)
        current = fields.optional_object("current")
        endpoint = fields.optional_object("endpoint")
        return cls(
            base_key_uri=fields.optional_key_uri("base_key_uri"),
            current=None if current is None else IdentityRecord.from_fields(current),
            previous=tuple(IdentityRecord.from_fields(item) for item in fields.objects("previous")),
            anchors=fields.optional_digest("anchors"),
            endpoint=None if endpoint is None else _endpoint(endpoint),
            mac_address=fields.optional_text("mac_address"),
            time_floor=fields.optional_time("time_floor"),
            anchors_checked=fields.optional_time("anchors_checked"),
        )


def _endpoint(fields: Fields) -> Endpoint:
    return Endpoint(
        fields.text("url"), fields.optional_text("label"), fields.flag("implicit"), fields.optional_flag("announce")
    )


@dataclass(frozen=True)
class CaleRegistration:
    """Content of cale/<name>.json: what an authorization server knows this device by.

    Attributes:
        guid: the identifier it gave; whoever has it can ask for answers, though not read them.
        key_uri: the key its answers are encrypted for.
        origin: "https://host:port" of the server that gave it.
        registered_at: when, with time zone.
        created_here: whether the SDK generated this key for this registration; only such keys are ever deleted.
        key_sha256: SHA-256 of the key's SubjectPublicKeyInfo, hex; None if it is not known.
        base_key_uri: the key URI that names of later keys are derived from; None for `key_uri` itself.
        algorithms: what the server may use for its answers: what it was told at registration, without AES-CBC if it answered that in
            AES-GCM; None if it is not known.
    """

    guid: str = field(repr=False)
    key_uri: str
    origin: str
    registered_at: datetime
    created_here: bool = False
    key_sha256: str | None = None
    base_key_uri: str | None = None
    algorithms: tuple[str, ...] | None = None

    def to_bytes(self) -> bytes:
        """The file."""
        return dump(
            {
                "guid": self.guid,
                "key_uri": self.key_uri,
                "origin": self.origin,
                "registered_at": format_time(self.registered_at),
                "created_here": self.created_here,
                "key_sha256": self.key_sha256,
                "base_key_uri": self.base_key_uri,
                "algorithms": self.algorithms,
            }
        )

    @classmethod
    def from_bytes(cls, path: Path, data: bytes) -> CaleRegistration:
        """Read the file; raises as DeviceState.from_bytes."""
        fields = Fields.parse(path, data)
        return cls(
            fields.guid("guid"),
            fields.key_uri("key_uri"),
            fields.origin("origin"),
            fields.time("registered_at"),
            fields.optional_flag("created_here"),
            fields.optional_digest("key_sha256"),
            fields.optional_key_uri("base_key_uri"),
            fields.optional_texts("algorithms"),
        )
