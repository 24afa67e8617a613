"""What a device keeps of the packages of its server (RFC 8295): revocation lists and certificates of peers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk.errors import StateCorruptError, StateError
from device_sdk.state import files
from device_sdk.state.fields import Fields, dump, format_time
from device_sdk.state.sync_journal import SyncJournal
from device_sdk.wire.revocation import Edition

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from device_sdk.state.directory import StateDirectory

MAX_KEPT_BYTES = 16 * 1024 * 1024
MAX_EDITIONS = 1024
_MAX_NUMBER_BYTES = 20
_ANEW = "remove it, and fetch it anew: device-sdk sync"
_LIST = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.S)
_ISSUER = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.S)
_PEER = re.compile(rb"^Place: ([!-~]+)\n(-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----)", re.S | re.M)
_UNREADABLE = (ValueError, TypeError, x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)


@dataclass(frozen=True)
class KeptPeer:
    """The certificate of a peer.

    Attributes:
        place: the request target it was fetched from.
        certificate: the certificate.
    """

    place: str
    certificate: x509.Certificate


class KeptPackages:
    """The files crls.pem, signer-crls.pem, crl-issuers.pem, peers.pem and sync.json of a state directory; each is replaced in one step.

    Nobody else can write there, so that what is read was checked when it was written. Other software may read those
    that are PEM; in peers.pem there is a line before each certificate that says where it is from.

    Args:
        directory: the state directory.
    """

    def __init__(self, directory: StateDirectory) -> None:
        self._directory = directory

    @property
    def crls_file(self) -> Path:
        """Stable path of the revocation lists."""
        return self._directory.path / "crls.pem"

    @property
    def signer_crls_file(self) -> Path:
        """Stable path of the revocation lists that concern nobody but those who sign packages."""
        return self._directory.path / "signer-crls.pem"

    @property
    def peers_file(self) -> Path:
        """Stable path of the certificates of peers."""
        return self._directory.path / "peers.pem"

    def lists(self) -> tuple[x509.CertificateRevocationList, ...]:
        """The revocation lists; none before the first were fetched.

        Raises:
            StateCorruptError: they cannot be understood.
            StateError: somebody else may write to the directory, or it cannot be read.
        """
        return self._lists_in(self.crls_file)

    def signer_lists(self) -> tuple[x509.CertificateRevocationList, ...]:
        """Revocation lists that lead to the anchors of those who sign packages, and to no other; raises as `lists`."""
        return self._lists_in(self.signer_crls_file)

    def save_lists(self, lists: Iterable[x509.CertificateRevocationList]) -> None:
        """Keep these and no others.

        Raises:
            StateNotWritableError: nothing was changed.
            StateError: more than MAX_KEPT_BYTES; nothing was changed.
        """
        self._replace(self.crls_file, b"".join(one.public_bytes(Encoding.PEM) for one in lists))

    def save_signer_lists(self, lists: Iterable[x509.CertificateRevocationList]) -> None:
        """Keep these and no others; raises as `save_lists`."""
        self._replace(self.signer_crls_file, b"".join(one.public_bytes(Encoding.PEM) for one in lists))

    def editions(self) -> dict[str, Edition]:
        """The newest list of each authority that was ever kept; see device_sdk.protocols.merge_crls. Raises as `lists`."""
        path = self._editions_file
        data = self._read(path)
        return {} if data is None else read_editions(path, data)

    def save_editions(self, editions: Mapping[str, Edition]) -> None:
        """Remember these and no others, of more than MAX_EDITIONS the last; raises as `save_lists`."""
        kept = {
            name: {"number": _hex(one.number), "at": format_time(one.at)}
            for name, one in [*editions.items()][-MAX_EDITIONS:]
        }
        if kept or self._editions_file.exists():
            self._replace(self._editions_file, dump({"lists": kept}), files.PRIVATE)

    def issuers(self) -> tuple[x509.Certificate, ...]:
        """The CA certificates between the lists and the trust anchors: not trusted for being here. Raises as `lists`."""
        found = []
        for block in self._blocks(self._issuers_file, _ISSUER, b"-----BEGIN "):
            try:
                found.append(x509.load_pem_x509_certificate(block[0]))
            except _UNREADABLE as error:
                raise _corrupt(self._issuers_file, str(error)) from error
        return tuple(found)

    def save_issuers(self, issuers: Iterable[x509.Certificate]) -> None:
        """Keep these and no others; raises as `save_lists`."""
        self._replace(self._issuers_file, b"".join(one.public_bytes(Encoding.PEM) for one in issuers))

    def peers(self) -> tuple[KeptPeer, ...]:
        """The certificates of peers, as they were kept; raises as `lists`."""
        found = []
        for block in self._blocks(self.peers_file, _PEER, b"-----BEGIN "):
            try:
                found.append(KeptPeer(block[1].decode("ascii"), x509.load_pem_x509_certificate(block[2])))
            except _UNREADABLE as error:
                raise _corrupt(self.peers_file, str(error)) from error
        return tuple(found)

    def save_peers(self, peers: Iterable[KeptPeer]) -> None:
        """Keep these and no others; raises as `save_lists`."""
        self._replace(
            self.peers_file,
            b"".join(
                f"Place: {one.place}\n".encode("ascii") + one.certificate.public_bytes(Encoding.PEM) for one in peers
            ),
        )

    def journal(self) -> SyncJournal | None:
        """What a sync that was interrupted had done; None if none was. Raises as `lists`."""
        data = self._read(self._journal_file)
        return None if data is None else SyncJournal.from_bytes(self._journal_file, data)

    def write_journal(self, journal: SyncJournal) -> None:
        """Say what is done; raises as `save_lists`."""
        with self._directory.exclusive():
            files.write(self._journal_file, journal.to_bytes())

    def drop_journal(self) -> None:
        """Say that a sync came to its end; nothing happens if none was under way. Raises as `save_lists`."""
        with self._directory.exclusive():
            files.remove(self._journal_file)

    @property
    def _issuers_file(self) -> Path:
        return self._directory.path / "crl-issuers.pem"

    @property
    def _editions_file(self) -> Path:
        return self._directory.path / "crl-editions.json"

    @property
    def _journal_file(self) -> Path:
        return self._directory.path / "sync.json"

    def _lists_in(self, path: Path) -> tuple[x509.CertificateRevocationList, ...]:
        found = []
        for block in self._blocks(path, _LIST, b"-----BEGIN "):
            try:
                one = x509.load_pem_x509_crl(block[0])
                _ = one.issuer, one.last_update_utc, one.next_update_utc, one.extensions, len(one)
            except _UNREADABLE as error:
                raise _corrupt(path, str(error)) from error
            found.append(one)
        return tuple(found)

    def _blocks(self, path: Path, pattern: re.Pattern[bytes], begin: bytes) -> list[re.Match[bytes]]:
        data = self._read(path) or b""
        found = list(pattern.finditer(data))
        if len(found) != data.count(begin):
            raise _corrupt(path, "there is something else in it")
        return found

    def _read(self, path: Path) -> bytes | None:
        files.refuse_strangers(self._directory.path)
        return files.read(path, MAX_KEPT_BYTES)

    def _replace(self, path: Path, data: bytes, mode: int = files.PUBLIC) -> None:
        if len(data) > MAX_KEPT_BYTES:
            raise StateError(
                f"{path}: what the server has for it is larger than the {MAX_KEPT_BYTES} bytes that are kept",
                hint="tell the operator of the EST server",
                path=str(path),
            )
        with self._directory.exclusive():
            if (files.read(path, MAX_KEPT_BYTES) or b"") != data:
                files.write(path, data, mode)


def read_editions(path: Path, data: bytes) -> dict[str, Edition]:
    """What is in crl-editions.json.

    Args:
        path: its name, for errors.
        data: its content.

    Raises:
        StateCorruptError: it cannot be understood.
        StateError: a newer version wrote it.
    """
    content = Fields.parse(path, data).take("lists")
    found = {}
    for name, value in content.items() if isinstance(content, dict) else ():
        fields = Fields(path, value, str(name))
        number = fields.optional_hex("number")
        found[name] = Edition(None if number is None else int(number, 16), fields.time("at"))
    return found


def _hex(number: int | None) -> str | None:
    """Whole octets; what a list cannot say (RFC 5280 section 5.2.3: 20 octets) is not remembered."""
    if number is None or not 0 <= number < 1 << 8 * _MAX_NUMBER_BYTES:
        return None
    return number.to_bytes(max(1, (number.bit_length() + 7) // 8)).hex()


def _corrupt(path: Path, why: str) -> StateCorruptError:
    return StateCorruptError(f"{path}: cannot be understood: {why}", hint=_ANEW, path=str(path))
