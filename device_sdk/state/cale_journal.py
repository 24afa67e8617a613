"""What a CALE registration was doing: written before anything happens that a power cut could leave half done."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Self

from device_sdk.state.fields import Fields, dump, format_time
from device_sdk.state.journal import Phase


@dataclass(frozen=True)
class CaleJournal:
    """Content of cale/under-way/<name>.json.

    Attributes:
        application: the name of the registration.
        phase: REQUEST and CREATING as for a certificate; ISSUED: the server has registered the key, `guid` is its answer.
        key_uri: the key to be registered.
        base_key_uri: the key URI that names of later keys are derived from.
        created_here: the SDK makes this key for this registration, so it may also delete the one it made.
        origin: "https://host:port" of the edge device.
        since: when it began.
        guid: the new registration's (phase ISSUED); not in use before it has been proved.
        replaces_key_uri: the SDK's own key of the registration that is replaced, which goes when the new one has been
            proved; None if there is none, or it stays.
        replaces_sha256: SHA-256 of that key's SubjectPublicKeyInfo, hex; None if it is not known: then it stays.
        key_sha256: SHA-256 of the SubjectPublicKeyInfo of the key to be registered, hex; None before it is known.
        key_id: random CKA_ID the key is made with, hex; see Journal.
        algorithms: as in CaleRegistration (phase ISSUED).
    """

    application: str
    phase: Phase
    key_uri: str
    base_key_uri: str
    created_here: bool
    origin: str
    since: datetime
    guid: str | None = field(default=None, repr=False)
    replaces_key_uri: str | None = None
    replaces_sha256: str | None = None
    key_sha256: str | None = None
    key_id: str | None = None
    algorithms: tuple[str, ...] | None = None

    def creating(self, key_id: str | None) -> Self:
        """The same when the keystore is about to be told to make the key."""
        return replace(self, phase=Phase.CREATING, key_sha256=None, key_id=key_id)

    def to_bytes(self) -> bytes:
        """The file."""
        return dump(vars(self) | {"phase": self.phase.value, "since": format_time(self.since)})

    @classmethod
    def from_bytes(cls, path: Path, data: bytes) -> CaleJournal:
        """Read the file.

        Raises:
            StateCorruptError: it cannot be understood.
            StateError: a newer version wrote it.
        """
        fields = Fields.parse(path, data)
        phases = (Phase.REQUEST, Phase.CREATING, Phase.ISSUED)
        phase = Phase(fields.one_of("phase", tuple(phase.value for phase in phases)))
        return cls(
            application=fields.one_of("application", (path.stem,)),
            phase=phase,
            key_uri=fields.key_uri("key_uri"),
            base_key_uri=fields.key_uri("base_key_uri"),
            created_here=fields.flag("created_here"),
            origin=fields.origin("origin"),
            since=fields.time("since"),
            guid=fields.guid("guid") if phase is Phase.ISSUED else None,
            replaces_key_uri=fields.optional_key_uri("replaces_key_uri"),
            replaces_sha256=fields.optional_digest("replaces_sha256"),
            key_sha256=fields.digest("key_sha256") if phase is Phase.ISSUED else fields.optional_digest("key_sha256"),
            key_id=fields.optional_hex("key_id"),
            algorithms=fields.optional_texts("algorithms"),
        )
