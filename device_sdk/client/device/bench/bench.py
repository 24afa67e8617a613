"""The operations of a device on a bench."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from device_sdk.client.bench.facts import BenchKey, DeviceFacts, KeyWish, Proof
from device_sdk.client.device.bench.configuration import BenchSettings, Configuration
from device_sdk.errors import ConfigurationError
from device_sdk.identity import Roots
from device_sdk.state import StateDirectory

if TYPE_CHECKING:
    # an agent answers `facts` at once; what needs keys and CMS is imported when it is asked for
    from device_sdk.client.device.bench.enrolment import BenchEnrolment
    from device_sdk.client.est import Clock

LOCK_WAIT_S = 30.0
"""How long an operation waits for another process that changes the state directory."""


class DeviceBench:
    """This device, as a station may ask it. Every operation may be repeated.

    Arguments come over a line and are checked here. What an operation was told is durable when it returns.

    Args:
        configuration: the device's configuration file; read anew by each operation.
        clock: the time.
        programs: whether the station may name programs that this device runs: by `run`, and in the configuration it
            writes; there also files with secrets, and places to write to.
        roots: where sysfs, procfs and /etc are.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        clock: Clock | None = None,
        programs: bool = False,
        roots: Roots | None = None,
    ) -> None:
        self._configuration = configuration
        self._clock = clock
        self._programs = programs
        self._roots = roots or Roots()

    def facts(self) -> DeviceFacts:
        """Who this device is.

        A configuration that cannot be read, or names a key or serial number that are none, does not count there, so that a
        station can write another one; `extra` says so.

        Raises:
            ConfigurationError: there is nothing that tells this device from others.
            StateError: its state cannot be read.
        """
        from device_sdk.client.device.bench.about import facts_of

        now = time.time() if self._clock is None else self._clock.now().timestamp()
        try:
            settings, damage = self._configuration.read(), None
        except ConfigurationError as error:
            settings, damage = self._configuration.read(file=False), error.message
        try:
            return facts_of(settings, int(now), self._roots, damage)
        except ConfigurationError as error:
            without = self._configuration.read(file=False)
            settings = replace(settings, identity=without.identity, key_uri=without.key_uri)
            with suppress(ConfigurationError):
                return facts_of(settings, int(now), self._roots, damage or error.message)
            raise

    def configure(self, config: bytes, anchors: bytes) -> None:
        """Write the configuration file (0600) and the trust anchors of the next enrolment; see BenchDevice.configure.

        The anchors come first: without them the configuration would say whom to ask and not whom to trust. Where this
        device is enrolled, what it trusts now stays as it is until it enrols anew.

        Raises:
            ConfigurationError: too large, not a configuration or no anchors; the file cannot be written.
            StateError: the state directory cannot be changed.
        """
        from device_sdk.client.device.bench.configuring import configure

        configure(self._configuration, config, anchors, programs=self._programs)
        with suppress(ConfigurationError):  # what runs next goes by it, programs that this one starts, too
            self._configuration.read()

    def create_key(self, wish: KeyWish) -> BenchKey:
        """The first step of an enrolment; see BenchDevice.create_key.

        A device that has a valid certificate for that key and server gives the key it has.

        Raises:
            ConfigurationError: a wish that cannot be met; the device is enrolled with another key or server already, and
                the wish is not to do so again.
            KeyExistsError: there is a key of that name that is not ours.
            ClockError: this machine's clock cannot be right.
            StateError, KeyStoreError: the state directory, the token or TPM.
        """
        return self._enrolment().create_key(wish)

    def request(self, csrattrs: bytes = b"") -> bytes:
        """DER of a request for the key; see BenchDevice.request.

        It is bound to no connection, as the device has none: the station is a registration authority and vouches for it
        (RFC 7030 section 3.7). What the server's attributes say of a binding is left out, what they say of passwords is
        refused: nobody on the line is told one.

        Raises:
            StateError: no key was made.
            ConfigurationError: the configuration does not say as whom to enrol.
            CsrAttributesError, LocalProtocolError: what the server wants cannot be met.
            KeyStoreError: the key cannot be opened, or not sign.
        """
        return self._enrolment().request(csrattrs)

    def install(self, answer: bytes, ca_certificates: bytes) -> bytes:
        """Check and take the certificate; see BenchDevice.install. The checks are those of an answer over TLS.

        Who carried it does not matter: the CA certificates count by the configured anchors, the certificate by the key and
        the anchors it leads to.

        Raises:
            StateError: no key was made.
            CertificateMismatchError: it is for another key, expired, or leads to no anchor.
            FingerprintMismatchError, VerificationError: the CA certificates are another CA's.
            RemoteProtocolError: one of them is not what it should be.
            ClockError: it is not valid yet, by this machine's clock.
            StateNotWritableError, KeyStoreError: the same call goes on later.
        """
        return self._enrolment().install(answer, ca_certificates)

    def enrol(self) -> bytes:
        """Enrol over the device's own network, as `device-sdk enroll`; see BenchDevice.enrol. Raises as Device.enroll."""
        from device_sdk.client.device import Device
        from device_sdk.state.pem import fingerprint

        settings = self._configuration.read()
        device = Device(
            settings.state_dir,
            pin=settings.pin,
            clock=self._clock,
            lock_wait_s=LOCK_WAIT_S,
            allow_imported=settings.allow_imported,
        )
        return bytes.fromhex(fingerprint(device.enroll(settings.own_plan()).certificate))

    def prove(self, nonce: bytes) -> Proof:
        """Sign PROOF_CONTEXT, the nonce and the certificate's SHA-256, and nothing else; see BenchDevice.prove.

        Raises:
            ConfigurationError: the nonce is not 32 bytes.
            StateError: the device is not enrolled, or its certificate is not for its key.
            KeyStoreError: the key cannot be opened, or not sign.
        """
        from device_sdk.client.device.bench.proof import prove

        with self._enrolment().context.running() as context:
            return prove(context, nonce)

    def run(self, command: tuple[str, ...], timeout_s: float) -> tuple[int, str]:
        """Run a command as this process's user; see BenchDevice.run.

        Raises:
            ConfigurationError: this device runs no programs for a station, or the command cannot be started.
            BenchError: it took too long, and was stopped with all it started.
        """
        from device_sdk.client.device.bench.command import run_command

        return run_command(command, timeout_s, allowed=self._programs)

    def _enrolment(self) -> BenchEnrolment:
        from device_sdk.client.device.bench.enrolment import BenchEnrolment
        from device_sdk.client.device.context import Context
        from device_sdk.client.device.generation import absolute
        from device_sdk.client.est import Clock

        settings: BenchSettings = self._configuration.read()
        state = StateDirectory(Path(settings.state_dir))
        # a PIN in the configuration's URI is kept nowhere else, and needed for every step
        given = absolute(settings.key_uri) if settings.key_uri else None
        context = Context(state, settings.pin, self._clock or Clock(), given, settings.allow_imported)
        return BenchEnrolment(context, settings)
