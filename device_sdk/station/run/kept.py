"""What a station keeps of a device while it is under way: the request that was sent, the answer that came, what is done.

One file a device, replaced in one step, gone when the device is provisioned. It holds nothing secret: requests and certificates.
With it no certificate is asked for twice: an answer that was received is kept until the device has it, and where an answer was
lost the same request is sent again.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

from device_sdk.errors import StateCorruptError
from device_sdk.state import files

_VERSION = 1
_MAX_BYTES = 8 * 1024 * 1024
_BYTES = ("public_key", "csr", "answer", "ca_certificates")


@dataclass(frozen=True)
class Job:
    """A device that is under way.

    Attributes:
        serial_number: which.
        profile: name, version and mode of the profile it is being provisioned by.
        done: names of the hooks that are done and are not to be done again.
        again: it was provisioned before, and is being provisioned anew on purpose.
        enrolled_before: SHA-256 of the certificate that it had at the beginning, hex, or None.
        public_key: DER of the key it made.
        csr: DER of the request for that key.
        answer: DER of the server's answer to it.
        ca_certificates: DER of what /cacerts answered then.
        pending: what is kept of a request that the server accepted and did not decide (RelayRecord).
    """

    serial_number: str
    profile: str
    done: tuple[str, ...] = ()
    again: bool = False
    enrolled_before: str | None = None
    public_key: bytes | None = None
    csr: bytes | None = None
    answer: bytes | None = None
    ca_certificates: bytes | None = None
    pending: dict[str, object] | None = None

    def with_key(self, public_key: bytes) -> Job:
        """The same with this key; what was asked for with another one is forgotten."""
        if public_key == self.public_key:
            return self
        return replace(self, public_key=public_key, csr=None, answer=None, ca_certificates=None, pending=None)


class Kept:
    """The directory in which these files are. Threads may share it, one for each device.

    Args:
        directory: made if it is not there.

    Raises:
        StateNotWritableError: it cannot be made.
        StateError: somebody else can write to it.
    """

    def __init__(self, directory: Path) -> None:
        files.refuse_strangers(directory)
        files.make_directory(directory)
        self._directory = directory

    def load(self, serial_number: str) -> Job | None:
        """What is kept of a device, or None.

        Raises:
            StateCorruptError: the file is not one of these.
            StateError: it cannot be read.
        """
        path = self._path(serial_number)
        data = files.read(path, _MAX_BYTES)
        if data is None:
            return None
        try:
            values = json.loads(data)
            if values.pop("version") != _VERSION or values["serial_number"] != serial_number:
                raise ValueError("another version, or another device")
            values |= {name: base64.b64decode(values[name], validate=True) for name in _BYTES if values.get(name)}
            return Job(**(values | {"done": tuple(map(str, values["done"]))}))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise StateCorruptError(
                f"{path}: cannot be read: {type(error).__name__}",
                hint="remove it: the device then begins anew, and a certificate that it was issued is of no use",
                path=str(path),
            ) from error

    def save(self, job: Job) -> None:
        """Keep this; it survives a power cut when this returns.

        Raises:
            StateNotWritableError: disk full, for example; what was kept before is unchanged.
        """
        values = vars(job) | {"version": _VERSION}
        values |= {name: base64.b64encode(values[name]).decode() for name in _BYTES if values[name] is not None}
        files.write(self._path(job.serial_number), json.dumps(values).encode())

    def forget(self, serial_number: str) -> None:
        """Keep nothing of this device; raises as `save`."""
        files.remove(self._path(serial_number))

    def _path(self, serial_number: str) -> Path:
        # a serial number is a device's word, and no name for a file
        return self._directory / f"{hashlib.sha256(serial_number.encode()).hexdigest()[:32]}.json"
