"""Everything that validates a path looks at revocation lists, and at what CAs limit (RFC 5280 section 6, RFC 6010; C-05, S-02).

What is issued is in test_revoked_issuers.py, peers in test_peers.py, packages of symmetric keys in test_symmetric_keys.py, the
server of a device in test_sync.py.
"""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from cryptography import x509
from device_sdk_simulators.ca.hierarchy import Authority
from device_sdk_simulators.est.server_key_package import envelope, signed_package
from device_sdk_simulators.est.server_key_wish import Recipient
from device_sdk_simulators.packages import layers
from pyasn1.type.univ import ObjectIdentifier

from device_sdk.client.device.sync import Deliveries, FirmwareDelivery, StepState
from device_sdk.client.est import EstClient
from device_sdk.client.est.full_cmc import SharedSecret
from device_sdk.client.firmware import FileInstaller, FirmwarePolicy, FirmwareRules, HardwareModule
from device_sdk.errors import CmcUntrustedError, FirmwareError, ServerNotTrustedError, VerificationError
from device_sdk.model.http import ConnectionFacts
from device_sdk.model.secret import Secret
from device_sdk.protocols.crls import check_crls, inputs_with, kept_for
from device_sdk.protocols.est.ca_certificates import check_ca_certificates
from device_sdk.protocols.est.server_key_answer import ServerKeyAnswer
from device_sdk.protocols.est.server_key_opened import Judgement, open_key
from device_sdk.protocols.est.server_key_request import DecryptionKey
from device_sdk.transports.https.authorize import refuse_path
from device_sdk.wire.cms.signed_data import read_signed_data, verify_signed_data
from device_sdk.wire.firmware import oids, verify_package
from device_sdk.wire.firmware.codes import LoadErrorCode
from device_sdk.wire.path import find_path
from device_sdk.wire.path_inputs import PathInputs
from tests.est.answers import SPEC, bag, trusting
from tests.est.full_cmc_answers import CmcServer
from tests.est.pki import NOW, Ca, Rollover, der, new_key
from tests.est.scripted_server import http
from tests.firmware.making import HARDWARE, IMAGE, Maker
from tests.packages.sealing import SKP, constraints
from tests.packages.test_crls import crl

SHARED = SharedSecret(Secret("sixteen or more characters"), "device 1")
AES_128_CBC, AES_128_WRAP = "2.16.840.1.101.3.4.1.2", "2.16.840.1.101.3.4.1.5"
AGREEMENT = "1.3.132.1.11.1"  # dhSinglePass-stdDH-sha256kdf-scheme
URL = "https://est.example/.well-known/est/serverkeygen"
EXPLICIT = x509.PolicyConstraints(require_explicit_policy=0, inhibit_policy_mapping=None)


@pytest.fixture(scope="module")
def root() -> Ca:
    return Ca.root("Root")


@pytest.fixture(scope="module")
def issuing(root) -> Ca:
    return root.issue_ca("Issuing")


def maker_below(ca: Ca, **options) -> Maker:
    """Somebody who signs firmware, with a certificate of this CA."""
    maker = Maker(root=Authority(ca.certificate, ca.key))
    key = new_key()
    maker.signer = Authority(ca.certify("Firmware signer", key.public_key(), **options), key)
    return maker


def verified(maker: Maker, package: bytes, **options):
    return verify_package(io.BytesIO(package), anchors=maker.anchors, now=NOW, **options)


def test_c_05_cacerts(root, issuing):
    """A revoked CA is nobody's CA."""
    found = check_ca_certificates([issuing.certificate], [root.certificate], NOW, lists=[crl(root)])
    assert found.intermediates == (issuing.certificate,)
    found = check_ca_certificates(
        [issuing.certificate], [root.certificate], NOW, lists=[crl(root, issuing.certificate)]
    )
    assert found.intermediates == ()
    assert "revoked on " in found.ignored[0].reason


def test_c_05_cacerts_a_revoked_rollover_certificate():
    """Nobody follows a CA to a key whose certificate the CA took back."""
    rollover = Rollover()
    bag_of_all = [rollover.new.certificate, rollover.new_with_old]
    for revoked, anchors in (((), 2), ((rollover.new_with_old,), 1)):
        found = check_ca_certificates(bag_of_all, [rollover.old.certificate], NOW, lists=[crl(rollover.old, *revoked)])
        assert len(found.anchors) == anchors


def test_c_05_crls_of_a_revoked_ca(root, issuing):
    lists = [crl(issuing), crl(root, issuing.certificate)]
    found = check_crls(lists, anchors=[root.certificate], intermediates=[issuing.certificate], now=NOW)
    assert [one.crl for one in found.accepted] == [lists[1]]
    assert "revoked on " in found.rejected[0][1]


def test_c_05_fullcmc_a_revoked_signer(ca, serve, clock):
    other_side = CmcServer(ca)
    server = serve(cacerts=bag(ca.certificate), fullcmc=other_side.says())
    for revoked, good in (((), True), ((other_side.signer.certificate,), False)):
        with EstClient(server.url, replace(trusting(ca), lists=(crl(ca, *revoked),)), clock=clock) as client:
            if good:
                assert client.fullcmc.enroll(new_key(), SPEC, shared_secret=SHARED).enrolled
                continue
            with pytest.raises(CmcUntrustedError, match="revoked on "):
                client.fullcmc.enroll(new_key(), SPEC, shared_secret=SHARED)


def test_c_05_serverkeygen_a_revoked_signer(root):
    """The one who generated the key: id-kp-cmKGA, from a message inside an envelope."""
    key, device_key = new_key(), new_key()
    usage = x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.32")])
    signer = Authority(root.certify("generator", key.public_key(), extensions=[(usage, False)]), key)
    identifier = x509.SubjectKeyIdentifier.from_public_key(device_key.public_key())
    device = root.certify("device 1", device_key.public_key(), extensions=[(identifier, False)])
    signed = signed_package(new_key(), signer, [signer.certificate], NOW)
    message = envelope(signed, Recipient(b"", (AES_128_CBC, AES_128_WRAP, AGREEMENT), certificate=device))
    answer = ServerKeyAnswer((), None, message, ConnectionFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384"))
    judgement = Judgement((root.certificate,), (), NOW, URL, lists=[crl(root)])
    protection = DecryptionKey(device, device_key)
    assert open_key(answer, protection, judgement).key
    with pytest.raises(VerificationError, match="revoked on "):
        open_key(answer, protection, replace(judgement, lists=[crl(root, signer.certificate)]))


@pytest.mark.parametrize("who", ["signer", "its ca"])
def test_c_05_firmware_a_revoked_signer(root, issuing, who):
    """F-06: a list of an anchor, and one of a CA that came with the package."""
    maker = maker_below(issuing)
    maker.root = Authority(root.certificate, root.key)
    chain = [maker.signer.certificate, issuing.certificate]
    package = maker.sign(IMAGE, oids.FIRMWARE_PACKAGE, certificates=chain)
    revoking = {"signer": crl(issuing, maker.signer.certificate), "its ca": crl(root, issuing.certificate)}[who]
    assert verified(maker, package, inputs=inputs_with([crl(root), crl(issuing)], anchors=maker.anchors, now=NOW))
    with pytest.raises(FirmwareError, match="revoked on ") as caught:
        verified(maker, package, inputs=inputs_with([revoking], anchors=maker.anchors, now=NOW))
    assert caught.value.load_error == LoadErrorCode.NO_TRUST_ANCHOR


def test_c_05_lists_nobody_signed_mean_nothing(root, issuing):
    """A list by the name of a CA on the path, by somebody else's key: of an anchor it is an error, else it is passed over."""
    leaf = issuing.certify("leaf", new_key().public_key())
    forged = crl(issuing, leaf, key=new_key())
    inputs = inputs_with([forged], anchors=[root.certificate], now=NOW)
    assert find_path(leaf, intermediates=[issuing.certificate], anchors=[root.certificate], now=NOW, inputs=inputs)
    forged, unknown = crl(root, issuing.certificate, key=new_key()), crl(issuing)
    with pytest.raises(VerificationError, match="the revocation list of CN=Root"):
        inputs_with([forged], anchors=[root.certificate], now=NOW)
    assert kept_for([forged, unknown], anchors=[root.certificate], now=NOW) == (unknown,)


def test_c_05_sync_firmware_by_the_kept_lists(synced, tmp_path):
    """The lists that a device keeps count for what it installs."""
    maker = maker_below(synced.ca)
    image = tmp_path / "image"
    rules = FirmwareRules(maker.anchors, FirmwarePolicy(HardwareModule(HARDWARE, b"\0\xa1")))
    delivery = FirmwareDelivery(rules, FileInstaller(image), tmp_path, returns=False)
    answer = http(200, maker.make(), ("Content-Type", "application/cms"))
    synced.server.handlers["f-1"] = lambda _: answer
    synced.lists = [crl(synced.ca, maker.signer.certificate)]
    synced.entries = [("0005", "crls"), ("0026", "firmware/f-1")]
    report = synced.device.sync(deliveries=Deliveries(firmware=lambda: delivery))
    assert synced.outcomes(report) == [("0005", StepState.DONE), ("0026", StepState.FAILED)]
    assert "revoked on " in str(synced.result(report, "0026").error)
    assert not image.exists()


def test_rfc_5280_section_6_1_5_tls_policies(serve, clock):
    """OpenSSL looks at no policies unless it is told to: the server's CA demands one, and its certificate has none."""
    demanding = Ca.root("Demanding", extensions=[(EXPLICIT, True)])
    server = serve(signed_by=demanding, cacerts=bag(demanding.certificate))
    with (
        EstClient(server.url, trusting(demanding), clock=clock) as client,
        pytest.raises(ServerNotTrustedError, match="certificate polic") as caught,
    ):
        client.cacerts()
    assert caught.value.reason == "certificate policies"


def test_rfc_5280_section_6_1_4_tls_name_constraints(root):
    """As everywhere else: a wildcard that reaches an excluded host (CVE-2025-61727), which OpenSSL lets pass."""
    limits = x509.NameConstraints(permitted_subtrees=None, excluded_subtrees=[x509.DNSName("bar.example.com")])
    limited = root.issue_ca("Limited", extensions=[(limits, True)])
    for host, good in (("foo.example.com", True), ("*.example.com", False)):
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        leaf = limited.certify("server", new_key().public_key(), extensions=[(names, False)])
        chain = [der(one) for one in (leaf, limited.certificate, root.certificate)]
        if good:
            refuse_path(chain, PathInputs())
            continue
        with pytest.raises(ServerNotTrustedError, match="must not certify") as caught:
            refuse_path(chain, PathInputs())
        assert caught.value.reason == "name constraints"


@pytest.mark.parametrize(
    ("allowed", "mode", "good"),
    [
        (oids.FIRMWARE_PACKAGE, "required", True),
        (SKP, "if-present", False),
        (SKP, "off", True),
        (None, "required", False),
    ],
)
def test_s_02_firmware_content_constraints(root, allowed, mode, good):
    """RFC 6010: the type of the innermost content has to be allowed; the extension may be critical where it is processed."""
    extensions = [] if allowed is None else [(constraints(allowed), mode != "off")]
    maker = maker_below(root, extensions=extensions)
    if good:
        assert verified(maker, maker.make(), constraints=mode).signer == maker.signer.certificate
        return
    with pytest.raises(FirmwareError, match="content constraints") as caught:
        verified(maker, maker.make(), constraints=mode)
    assert caught.value.load_error == LoadErrorCode.NOT_AUTHORIZED


def test_s_02_signed_messages_content_constraints(root):
    """Full CMC, generated keys, whatever is signed: who may sign packages of keys only, signs nothing else."""
    key = new_key()
    for allowed, good in ((SKP, True), ("1.2.840.113549.1.7.1", False)):
        signer = Authority(root.certify("signer", key.public_key(), extensions=[(constraints(allowed), True)]), key)
        content = layers.signed((ObjectIdentifier(SKP), b"\x30\x00"), signer, [signer.certificate])
        data = read_signed_data(layers.content_info(content))
        if good:
            verify_signed_data(data, content_type=SKP, anchors=[root.certificate], now=NOW)
            continue
        with pytest.raises(VerificationError, match="content constraints do not allow"):
            verify_signed_data(data, content_type=SKP, anchors=[root.certificate], now=NOW)
