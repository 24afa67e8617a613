"""What was under way: written before anything happens that a power cut could leave half done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, unique
from pathlib import Path
from typing import Self

from device_sdk.state.fields import Fields, dump, format_time
from device_sdk.state.records import Endpoint, IdentityRecord


@unique
class Operation(Enum):
    """What the device was doing."""

    ENROLL = "enroll"
    RENEW = "renew"


@unique
class Phase(Enum):
    """How far it had come."""

    REQUEST = "request"
    """The key exists if `key_sha256` is there, or was there before; nothing was issued, as far as we know."""
    CREATING = "creating"
    """Its name was free and the keystore was told to make it: it may or may not exist."""
    PENDING = "pending"
    """The server answered 202: ask again with the same key, not before `retry_at`."""
    ISSUED = "issued"
    """The certificate is in the journal; it is not in use yet."""


@dataclass(frozen=True)
class Journal:
    """Content of journal.json.

    Attributes:
        operation: what is under way.
        phase: how far it came.
        key_uri: the key to be certified.
        base_key_uri: the key URI that names of later keys are derived from.
        created_here: the SDK makes this key for this operation, so it may also delete the one it made.
        url: EST base URL.
        label: CA label, or None.
        since: when the operation began.
        retry_at: not before this time the server wants to be asked again (phase PENDING).
        chain: PEM of the issued certificate and its intermediates, leaf first (phase ISSUED).
        anchors: SHA-256 of the anchors file that goes with it (phase ISSUED).
        implicit: the server was reached with the operating system's trust store (phase ISSUED).
        announce: see Endpoint.
        renewal_url: EST base URL from the certificate on, where that is another one than `url`; or None.
        replaces: the pair that goes when the new one has been proved, or None.
        replaces_sha256: SHA-256 of the SubjectPublicKeyInfo of that pair's key, hex; None if it could not be read.
        keep_old: keep the replaced pair.
        mac_address: the one in the request, or None.
        key_sha256: SHA-256 of the SubjectPublicKeyInfo of the key that was made, hex; None before it is known. What
            does not have it is somebody else's.
        csr: the request that was answered by 202, DER in base64, for servers that want to see the same one again (phase
            PENDING); None where another one will do.
        cmc: what names a request that Full CMC has accepted and not decided (phase PENDING), JSON of PendingRequest; None
            for requests of the other kind.
        key_id: random CKA_ID the key is made with, hex, written before the key exists (phase CREATING); None for
            keystores without identifiers.
        refused: the server refused the issued certificate once (phase ISSUED).
        target: the request target that an entry of a package list had, where it is asked; None for the operation's own.
    """

    operation: Operation
    phase: Phase
    key_uri: str
    base_key_uri: str
    created_here: bool
    url: str
    label: str | None
    since: datetime
    retry_at: datetime | None = None
    chain: str | None = None
    anchors: str | None = None
    implicit: bool = False
    replaces: IdentityRecord | None = None
    keep_old: bool = False
    mac_address: str | None = None
    key_sha256: str | None = None
    key_id: str | None = None
    replaces_sha256: str | None = None
    csr: str | None = None
    announce: bool = False
    renewal_url: str | None = None
    refused: bool = False
    cmc: str | None = None
    target: str | None = None

    @property
    def endpoint(self) -> Endpoint:
        """Where the device is at home once this is done."""
        return Endpoint(self.renewal_url or self.url, self.label, self.implicit, self.announce)

    def creating(self, key_id: str | None) -> Self:
        """The same when the keystore is about to be told to make the key."""
        return replace(self, phase=Phase.CREATING, retry_at=None, key_sha256=None, key_id=key_id)

    def to_bytes(self) -> bytes:
        """The file."""
        return dump(
            vars(self)
            | {
                "operation": self.operation.value,
                "phase": self.phase.value,
                "since": format_time(self.since),
                "retry_at": format_time(self.retry_at),
                "replaces": None if self.replaces is None else vars(self.replaces),
            }
        )

    @classmethod
    def from_bytes(cls, path: Path, data: bytes) -> Journal:
        """Read the file.

        Raises:
            StateCorruptError: it cannot be understood.
            StateError: a newer version wrote it.
        """
        fields = Fields.parse(path, data)
        replaces = fields.optional_object("replaces")
        phase = Phase(fields.one_of("phase", tuple(phase.value for phase in Phase)))
        return cls(
            operation=Operation(fields.one_of("operation", tuple(operation.value for operation in Operation))),
            phase=phase,
            key_uri=fields.key_uri("key_uri"),
            base_key_uri=fields.key_uri("base_key_uri"),
            created_here=fields.flag("created_here"),
            url=fields.text("url"),
            label=fields.optional_text("label"),
            since=fields.time("since"),
            retry_at=fields.optional_time("retry_at"),
            chain=fields.text("chain") if phase is Phase.ISSUED else None,
            anchors=fields.optional_digest("anchors") if phase is Phase.ISSUED else None,
            implicit=fields.flag("implicit"),
            replaces=None if replaces is None else IdentityRecord.from_fields(replaces),
            keep_old=fields.flag("keep_old"),
            mac_address=fields.optional_text("mac_address"),
            key_sha256=fields.optional_digest("key_sha256"),
            key_id=fields.optional_hex("key_id"),
            replaces_sha256=fields.optional_digest("replaces_sha256"),
            csr=fields.optional_text("csr") if phase is Phase.PENDING else None,
            announce=fields.optional_flag("announce"),
            renewal_url=fields.optional_text("renewal_url"),
            refused=fields.optional_flag("refused"),
            cmc=fields.optional_text("cmc") if phase is Phase.PENDING else None,
            target=fields.optional_text("target"),
        )
