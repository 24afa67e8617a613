"""From an issued certificate to the one in use. Every step may be the last before a power cut, and is done again then."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from cryptography import x509

from device_sdk.client.device.clock import check_not_before
from device_sdk.client.device.connection import Connection
from device_sdk.client.device.context import Context
from device_sdk.client.device.plan import Outcome
from device_sdk.client.device.provenance import delete_own, spki_sha256
from device_sdk.client.device.undo import undo
from device_sdk.errors import (
    DeviceSdkError,
    HttpStatusError,
    KeyStoreFailedError,
    MechanismUnsupportedError,
    RemoteProtocolError,
    StateNotWritableError,
    TlsError,
    TransportError,
    VerificationError,
)
from device_sdk.model.trust import ServerTrust, TlsIdentity
from device_sdk.protocols.est.urls import origin_of
from device_sdk.state import DeviceState, IdentityRecord, Journal, Phase
from device_sdk.state.pem import decode, fingerprint

_REFUSED = (401, 403)
_KEPT = (
    "the old key and certificate stay in use and the new ones are kept: run the same command again to try them; "
    "device-sdk abandon gives them up"
)


def chain_of(context: Context, journal: Journal) -> tuple[x509.Certificate, ...]:
    """The issued chain a journal of phase ISSUED holds, leaf first."""
    return decode((journal.chain or "").encode(), context.state.path / "journal.json")


def is_switched(context: Context, state: DeviceState, journal: Journal) -> bool:
    """Whether the state names the journal's certificate already, so that only cleaning up is left."""
    if journal.phase is not Phase.ISSUED or state.current is None:
        return False
    return state.current.certificate == fingerprint(chain_of(context, journal)[0])


def finish(
    context: Context, journal: Journal, connection: Connection | None, *, notes: tuple[str, ...] = ()
) -> Outcome:
    """Prove the new pair if it replaces one, switch to it, keep the certificate beside its key, let the old pair go.

    The old pair is let go only if the server asked for the new certificate and took it, or its key is that of the new one;
    otherwise it is kept, and a note says so.

    Args:
        context: the device.
        journal: of phase ISSUED.
        connection: how the server is reached; None where it cannot be: the answer was carried by hand.
        notes: what a person should know already.

    Raises:
        ClockError: the certificate is not valid yet; the journal keeps it.
        TlsError, HttpStatusError: the authorized server refuses the new pair, the old one stays in use; refused again in a
            later run, the new pair is destroyed.
        TransportError, VerificationError, RemoteProtocolError: the new pair could not be proved now; it is kept, whatever
            anybody on the way does, and the next run tries again.
        KeyStoreError, StateNotWritableError: the next run goes on from here.
    """
    chain = chain_of(context, journal)
    check_not_before(context.clock.now(), chain[0])
    if not is_switched(context, context.state.load(), journal):
        # a device that is called enrolled takes no other configuration from a station, and this may be what it needs
        context.require_certificate_place(journal.key_uri)
        if context.main is None:  # else it is for key establishment, and nothing that TLS could show
            journal, shown = _shown(context, journal, chain, connection)
            notes += shown
        _switch(context, journal, chain)
    notes += _keep_beside_key(context, journal, chain[0])
    old = journal.replaces
    if old and not journal.keep_old and old.created_here and not _is_kept(journal, chain[0], old):
        notes += _let_go(context, old, journal.replaces_sha256)
    context.state.drop_journal()
    notes += _pin_note(context)
    return Outcome(journal.key_uri, chain, notes=notes)


def _shown(
    context: Context, journal: Journal, chain: tuple[x509.Certificate, ...], connection: Connection | None
) -> tuple[Journal, tuple[str, ...]]:
    """What the server says to the new pair, where it can be asked and there is something to lose."""
    if journal.replaces:
        proved = connection is not None and _prove(context, journal, chain, connection)
        if not proved and not (connection is None and _is_kept(journal, chain[0], journal.replaces)):
            return _keep_unproved(context, journal, journal.replaces)
    elif journal.renewal_url and connection is not None:
        return journal, _look_home(context, journal, chain, connection)
    return journal, ()


def _is_kept(journal: Journal, certificate: x509.Certificate, old: IdentityRecord) -> bool:
    """Whether the new pair has the key of the old one, by whatever name."""
    return old.key_uri == journal.key_uri or journal.replaces_sha256 == spki_sha256(certificate)


def _let_go(context: Context, old: IdentityRecord, sha256: str | None) -> tuple[str, ...]:
    """Destroy the key of the replaced pair: the one its certificate is for, whatever else has its name by now."""
    if delete_own(context, old.key_uri, sha256=sha256):
        return ()
    return (f"{old.key_uri}: there is a key of that name that is not proved to be the replaced one; it was left there",)


def _prove(context: Context, journal: Journal, chain: tuple[x509.Certificate, ...], connection: Connection) -> bool:
    """A TLS connection with the new key and certificate: only what worked replaces what works.

    Returns:
        Whether the server asked for the certificate at all; if not, the connection proves nothing about it.
    """
    try:
        return _connect(context, journal, chain, connection)
    except (TransportError, VerificationError, RemoteProtocolError) as error:
        if not _is_refusal(error, journal):
            error.hint = f"{error.hint}; {_KEPT}" if error.hint else _KEPT
        elif journal.refused:
            undo(context, journal)
            error.hint = (
                "the old key and certificate stay in use; the new ones were destroyed, the next renewal makes others"
            )
        else:
            # a run that ended for another reason was no refusal: only what is written down counts
            with suppress(StateNotWritableError):
                context.state.write_journal(replace(journal, refused=True))
            error.hint = "the old key and certificate stay in use; run the same command again to try the new ones again"
        raise


def _keep_unproved(context: Context, journal: Journal, old: IdentityRecord) -> tuple[Journal, tuple[str, ...]]:
    """The new pair comes into use, as servers that never ask could not be renewed at otherwise, but the old one stays.

    Written down before the switch, so that a run that goes on after a power cut does not destroy the old key.
    """
    journal = replace(journal, keep_old=True)
    context.state.write_journal(journal)
    note = (
        f"{journal.endpoint.url}: the server did not ask for the new certificate, so nothing proves that it takes it; "
        f"the old certificate and its key {old.key_uri} are kept"
    )
    return journal, (note,)


def _look_home(
    context: Context, journal: Journal, chain: tuple[x509.Certificate, ...], connection: Connection
) -> tuple[str, ...]:
    """Whether the server for renewals, which was not spoken to so far, is there; the first certificate is good without it."""
    try:
        _connect(context, journal, chain, connection)
    except (TransportError, VerificationError, RemoteProtocolError) as error:
        return (f"renewals would fail as things are: {error.message}",)
    return ()


def _connect(context: Context, journal: Journal, chain: tuple[x509.Certificate, ...], connection: Connection) -> bool:
    """Whether the connection that worked was one in which the server asked for the certificate."""
    trust = ServerTrust(context.state.anchors(journal.anchors or ""), journal.implicit)
    with context.open_key(journal.key_uri) as key:
        identity = TlsIdentity(chain, key)  # type: ignore[arg-type]  # every DeviceKey is one of cryptography's keys
        with connection.client(journal.endpoint, trust, identity) as client:
            client.cacerts(**connection.waiting)
            return client.client_authenticated


def _is_refusal(error: DeviceSdkError, journal: Journal) -> bool:
    """Whether the authorized server said no to this pair, rather than failing at something else.

    Nothing that anybody on the way can make happen counts: no broken handshake, no alert within one, no other server's word.
    """
    if isinstance(error, TlsError):
        return error.certificate_refused is True
    if not isinstance(error, HttpStatusError) or error.status_code not in _REFUSED or not error.url:
        return False
    origin = "/".join(error.url.split("/", 3)[:3])  # what a redirect leads to may have a query
    return origin_of(origin) == origin_of(journal.endpoint.url)


def _switch(context: Context, journal: Journal, chain: tuple[x509.Certificate, ...]) -> None:
    before = context.state.load()
    name = context.state.add_certificate(chain)
    previous = before.previous
    if journal.replaces and journal.keep_old:
        previous = (journal.replaces, *previous)
    not_before = chain[0].not_valid_before_utc
    # Only what a CA vouches for moves the floor: our own clock may be wrong in the other direction.
    floor = max(not_before, before.time_floor) if before.time_floor else not_before
    context.state.save(
        replace(
            before,
            base_key_uri=journal.base_key_uri,
            current=IdentityRecord(journal.key_uri, name, journal.created_here),
            previous=previous,
            anchors=journal.anchors,
            endpoint=journal.endpoint,
            mac_address=journal.mac_address,
            time_floor=floor,
            anchors_checked=journal.since,
        )
    )


def _pin_note(context: Context) -> tuple[str, ...]:
    if context.given is None or context.given.pin_value is None or context.pin is not None:
        return ()
    return ("the PIN in the key URI is not kept anywhere: to renew and to use the key, it has to be given again",)


def _keep_beside_key(context: Context, journal: Journal, certificate: x509.Certificate) -> tuple[str, ...]:
    """Other users of the token find the certificate there; a token without room for it is no reason to fail."""
    try:
        context.store_certificate(journal.key_uri, certificate)
    except (MechanismUnsupportedError, KeyStoreFailedError) as error:
        return (f"the certificate is not stored beside its key: {error.message}",)
    return ()


def still_valid(context: Context, journal: Journal) -> bool:
    """Whether an issued certificate is still worth finishing."""
    return chain_of(context, journal)[0].not_valid_after_utc > context.clock.now()
