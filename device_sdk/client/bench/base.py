"""What a station can ask of a device on a line."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from device_sdk.client.bench.facts import BenchKey, DeviceFacts, KeyWish, Proof


class BenchDevice(ABC):
    """One device, ready to be asked. Every operation may be repeated: after a reset or a cut line it finishes what was begun.

    Every operation raises BenchError or one of its subclasses, and nothing else: LineError where the line is at fault,
    DeviceSaysError where the device refused, and carries the device's own error.
    """

    def wait_for_boot(self, seconds: float) -> bool:
        """Listen, without a word, for a boot loader that starts; whether one did. It counts down, so `facts` is to follow at once."""
        del seconds
        return False

    @abstractmethod
    def facts(self) -> DeviceFacts:
        """Who it says it is."""

    @abstractmethod
    def configure(self, config: bytes, anchors: bytes) -> None:
        """Write the configuration (TOML) and trust anchors (PEM); durable when this returns.

        Args:
            config: the device's configuration file, whole; at most 64 KiB.
            anchors: the anchors for its EST server, at most 256 KiB; b"" leaves what is there.
        """

    @abstractmethod
    def create_key(self, wish: KeyWish) -> BenchKey:
        """Make the key, or give the one that an interrupted run made and no certificate has been installed for."""

    @abstractmethod
    def request(self, csrattrs: bytes = b"") -> bytes:
        """A DER CSR for that key with the identity of its configuration; the key stays journaled until `install`.

        Args:
            csrattrs: DER of the server's CsrAttrs, as /csrattrs gave it; b"" for none.
        """

    @abstractmethod
    def install(self, answer: bytes, ca_certificates: bytes) -> bytes:
        """Take the issued certificate; durable when this returns.

        Args:
            answer: DER certs-only CMS, as /simpleenroll answered.
            ca_certificates: DER certs-only CMS, as /cacerts answered.

        Returns:
            SHA-256 of the certificate that is current now, 32 bytes.
        """

    @abstractmethod
    def enrol(self) -> bytes:
        """Have it enrol itself over its own network, by its configuration; SHA-256 of its certificate, 32 bytes."""

    @abstractmethod
    def prove(self, nonce: bytes) -> Proof:
        """Have it sign with the key of its certificate; see Proof.

        Args:
            nonce: 32 bytes.
        """

    @abstractmethod
    def run(self, command: tuple[str, ...], timeout_s: float) -> tuple[int, str]:
        """Run a command that the profile names (self test); its exit status and the last 64 KiB of what it printed."""

    @abstractmethod
    def close(self) -> None:
        """Leave the device and the line as they were found (log out, end the agent's session)."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
