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
UNDECIDED = "undecided"
_BYTES = ("public_key", "csr", "answer", "ca_certificates")


@dataclass(frozen=True)
class Job:
    """A device that is under way.

    Attributes:
        serial_number: which.
        profile: name, version and mode of the profile it is being provisioned by.
        essence: what the profile said of devices then, and their anchors: a digest.
        but_places: the same without where devices keep what they are issued.
        done: names of the hooks that are done and are not to be done again.
        again: it was provisioned before, and is being provisioned anew on purpose.
        enrolled_before: SHA-256 of the certificate that it had at the beginning, hex, or None.
        public_key: DER of the key it made.
        csr: DER of the request for that key.
        answer: DER of the server's answer to it.
        ca_certificates: DER of what /cacerts answered then.
        pending: what is kept of a request that the server accepted and did not decide (RelayRecord).
        issued: serial numbers of all certificates that it was issued so far, hex, and UNDECIDED for each request
            that the server had accepted when it was given up; only the last one may still be of use.
        about: what the ledger is told of its key in the end.
        over: it begins anew after it was enrolled and not proved: it is to make another key beside that.
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
    issued: tuple[str, ...] = ()
    essence: str = ""
    about: dict[str, object] | None = None
    over: bool = False
    but_places: str = ""

    def with_key(self, public_key: bytes) -> Job:
        """The same with this key; what was asked for with another one is forgotten."""
        if public_key == self.public_key:
            return self
        return replace(
            self,
            public_key=public_key,
            csr=None,
            answer=None,
            ca_certificates=None,
            pending=None,
            issued=self.all_issued,
        )

    @property
    def all_issued(self) -> tuple[str, ...]:
        """`issued`, and a request that is still to be decided."""
        return (*self.issued, UNDECIDED) if self.pending else self.issued

    def anew(self) -> Job:
        """From the beginning; what it was issued is not forgotten."""
        return Job(
            self.serial_number,
            self.profile,
            again=self.again,
            issued=self.issued,
            essence=self.essence,
            but_places=self.but_places,
        )


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
        path = self.path(serial_number)
        data = files.read(path, _MAX_BYTES)
        if data is None:
            return None
        try:
            values = json.loads(data)
            if values.pop("version") != _VERSION or values["serial_number"] != serial_number:
                raise ValueError("another version, or another device")
            values |= {name: base64.b64decode(values[name], validate=True) for name in _BYTES if values.get(name)}
            return Job(**(values | {name: tuple(map(str, values.get(name, ()))) for name in ("done", "issued")}))
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
        files.write(self.path(job.serial_number), json.dumps(values).encode())

    def forget(self, serial_number: str) -> None:
        """Keep nothing of this device; raises as `save`."""
        files.remove(self.path(serial_number))

    def path(self, serial_number: str) -> Path:
        """The file in which a device is kept."""
        # a serial number is a device's word, and no name for a file
        return self._directory / f"{hashlib.sha256(serial_number.encode()).hexdigest()[:32]}.json"
