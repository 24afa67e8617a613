"""What a child process of a test does: a module of its own, so that the child imports no more than a program would."""

from __future__ import annotations

import requests

from device_sdk.client.cale import CaleAuth


def read_in_child(state: str, ca_file: str, url: str) -> bytes:
    """The resource, with the registration in a state directory."""
    with requests.Session() as session:
        session.trust_env, session.verify = False, ca_file
        session.auth = auth = CaleAuth.from_state(state)
        content = session.get(f"{url}/resource").content
        auth.close()
    return content
