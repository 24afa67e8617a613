"""Runs one CALE registration after the other, each in a child that dies by SIGKILL at the N-th event.

As tests/device/crash_launcher.py, whose events and lines it shares; `operation` is "register", "again" or "forget".
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from cryptography import x509
from cryptography.x509.oid import NameOID

from device_sdk.client.cale import CaleApplication, CalePlan
from device_sdk.client.cale.registering import another_key
from device_sdk.errors import DeviceSdkError
from device_sdk.model.credentials import Credentials
from device_sdk.model.csr import CsrSpec
from device_sdk.model.keys import KeyType
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust
from tests.device import crash_launcher


def plan_of(spec: dict[str, str], *, again: bool) -> CalePlan:
    """`again_with` in the specification: the key is named, as by `register --again --key`."""
    key_uri = None if again else spec["key_uri"]
    if again and "again_with" in spec:
        key_uri = another_key(CaleApplication(spec["state"]).registration, spec["again_with"])
    return CalePlan(
        spec["url"],
        ServerTrust(tuple(x509.load_pem_x509_certificates(Path(spec["anchors"]).read_bytes()))),
        CsrSpec(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "device-1")])),
        key_uri=key_uri,
        key_type=None if again else KeyType(spec["key_type"]),
        again=again,
        credentials=Credentials(spec["user"], Secret(spec["password"])),
    )


def child(command: dict[str, Any], report: int) -> None:
    spec, operation = command["spec"], command["operation"]
    application = CaleApplication(spec["state"])
    plan = plan_of(spec, again=operation == "again")
    killer = crash_launcher.Killer(command["kill_at"])
    error = None
    killer.watch()
    try:
        if operation == "forget":
            application.forget()
        else:
            application.register(plan)
    except DeviceSdkError as caught:
        error = f"{type(caught).__name__}: {caught}"
    except BaseException:  # noqa: BLE001  # whatever it is, the test wants to see it
        error = traceback.format_exc()
    finally:
        sys.setprofile(None)
    os.write(report, json.dumps({"events": killer.events, "error": error}).encode())


if __name__ == "__main__":
    crash_launcher.child = child
    crash_launcher.main()
