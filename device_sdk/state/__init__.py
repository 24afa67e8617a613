"""One directory a device: what it is, what it trusts, and what it was doing when the power went.

Files, all of them small and readable, none of them secret (keys live in keystores, PINs and passwords nowhere here):

    state.json                  what is current: key URI, certificate, anchors, endpoint, time floor. The one truth.
    journal.json                what is under way and not finished: operation, key URI, since when, how far.
    certificates/<sha256>.pem   leaf first, then its intermediates, no root; named by the SHA-256 of the leaf's DER.
    trust/<sha256>.pem          a set of Explicit trust anchors; named by the SHA-256 of the file.
    cale/<name>.json            one CALE registration.
    cale/under-way/<name>.json  what is under way for it and not finished, as journal.json. Damage of one application's files
                                concerns no other, nor the device.
    configured.pem              the trust anchors somebody configured for the next enrolment; absent if nobody did.
    tamp.json                   the trust anchors that messages manage, with their sequence numbers; absent if none are.
    sync.json                   what a sync that was interrupted had done, digests only; may be lost.
    outbox/<number>-<id>.json   a message the server has not taken yet: a signed receipt, confirm or error, and where it goes.
    outbox-dropped.json         those that were given up and nobody was told of yet; may be lost.
    processed/<sha256>.json     what became of the package of one place, and what the server was told; named by the SHA-256 of
                                the place. May be lost: then packages are dealt with once more.
    generated.json              keys of the server's making: key URI, file of the certificate, since when; what is asked for by
                                Full CMC and not decided.
    generated/<number>/         state.json, journal.json and certificates/ of one of them, as here.
    key-packages.json           packages of symmetric keys that were stored, digests only: none is stored again, whatever its place.
    firmware.json               installed firmware and stale versions, and what is under way.
    crl-editions.json           number and date of the newest revocation list of each authority that was ever kept: no older one
                                comes after it. May be lost.
    lock                        held (flock) by whoever changes the directory; holds its process id.

Stable paths for other software (web servers, VPN daemons, MQTT clients), replaced atomically:

    current.pem                 link to the current certificate file: leaf first, then intermediates.
    anchors.pem                 link to the current set of trust anchors.
    crls.pem                    revocation lists that were checked, each of a CA that leads to a trust anchor.
    peers.pem                   certificates of peers that were checked; a line before each says where it is from.

The directory is 0700, JSON files are 0600, certificates 0644. Every change is durable before it counts: written beside
the old file, fsync, rename, fsync of the directory. Readers take no lock and see the old content or the new one.
Leftovers of a power cut (temporary files, files nothing names, links that lag behind) are put right by the next
process that takes the lock.

A directory that belongs to anybody but root and the process's user, or that group or others may write to, is neither
read nor changed: who writes there decides whom the device trusts.
"""

from device_sdk.state.cale_journal import CaleJournal
from device_sdk.state.directory import StateDirectory
from device_sdk.state.generated_keys import MAX_GENERATED, GeneratedRecord
from device_sdk.state.journal import Journal, Operation, Phase
from device_sdk.state.outbox import DroppedMessage, Outbox, OutboxMessage
from device_sdk.state.packages import KeptPackages, KeptPeer
from device_sdk.state.processed import KeptReturn, ProcessedPackage, ProcessedPackages, Refusal
from device_sdk.state.records import CaleRegistration, DeviceState, Endpoint, IdentityRecord
from device_sdk.state.sync_journal import SyncJournal

__all__ = [
    "MAX_GENERATED",
    "CaleJournal",
    "CaleRegistration",
    "DeviceState",
    "DroppedMessage",
    "Endpoint",
    "GeneratedRecord",
    "IdentityRecord",
    "Journal",
    "KeptPackages",
    "KeptPeer",
    "KeptReturn",
    "Operation",
    "Outbox",
    "OutboxMessage",
    "Phase",
    "ProcessedPackage",
    "ProcessedPackages",
    "Refusal",
    "StateDirectory",
    "SyncJournal",
]
