"""Two anchors of one name, and certificates without key identifiers: EST-122, EST-124."""

from __future__ import annotations

import pytest

from device_sdk.errors import ServerNotTrustedError
from device_sdk.model.http import HttpRequest
from device_sdk.model.trust import ServerTrust
from device_sdk.transports.factory import open_transport
from tests.est.pki import Ca, Rollover
from tests.est.scripted_server import ScriptedServer, http


@pytest.fixture(scope="module")
def rollover() -> Rollover:
    return Rollover()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["old first", "new first"])
@pytest.mark.parametrize("signer", ["old", "new"])
def test_est_124_a_server_of_either_generation_is_trusted(rollover, signer, order, tmp_path):
    """OpenSSL picks one of the two by name, and gives up when the signature is not that one's."""
    both = rollover.old.certificate, rollover.new.certificate
    server = ScriptedServer(getattr(rollover, signer), tmp_path, {"x": lambda _seen: http(200, b"hello")})
    try:
        trust = ServerTrust(tuple(both[number] for number in order))
        with open_transport(server.url, trust) as transport:
            for _ in range(2):
                assert transport.send(HttpRequest("GET", "/x")).body == b"hello"
                transport.close()
    finally:
        server.close()


def test_est_122_a_third_key_of_that_name_is_not_trusted(rollover, tmp_path):
    namesake = Ca.root("EST CA")
    server = ScriptedServer(namesake, tmp_path, {"x": lambda _seen: http(200)})
    try:
        trust = ServerTrust((rollover.old.certificate, rollover.new.certificate))
        with open_transport(server.url, trust) as transport, pytest.raises(ServerNotTrustedError):
            transport.send(HttpRequest("GET", "/x"))
        assert server.seen == []
    finally:
        server.close()
