"""A CA gets another key: the four certificates, the stages, and what foreign verifiers make of them."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk_simulators.ca.rollover import RolloverError
from device_sdk_simulators.ca.stages import Stage
from device_sdk_simulators.http.messages import Request
from device_sdk_simulators.process import ServerProcess
from device_sdk_simulators.server import ReferenceServer

from tests.simulators.command import sim
from tests.simulators.server.support import EST, certificates_in, make_csr, name, post

pytestmark = pytest.mark.slow

KEYS = ("ec-p256", "ec-p384", "rsa-2048")


def write(path, *certificates):
    path.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in certificates))
    return path


def cacerts(server, label=""):
    return certificates_in(server.handle(Request("GET", EST + (f"{label}/" if label else "") + "cacerts")))


def issued(server, **options):
    response = post(server, make_csr(), **options)
    assert response.status == 200, response.body
    return certificates_in(response)[0]


def identifier(certificate, kind):
    value = certificate.extensions.get_extension_for_class(kind).value
    return value.digest if kind is x509.SubjectKeyIdentifier else value.key_identifier


@pytest.mark.parametrize("kind", KEYS)
def test_est_121_the_four_certificates_are_those_of_rfc_4210_section_4_4_1(server, kind):
    old = server.hierarchy.root.certificate
    server.rollover().publish(kind)
    (generation,) = server.hierarchy.others
    new, old_with_new, new_with_old = generation.root.certificate, generation.old_with_new, generation.new_with_old
    four = (old, new, old_with_new, new_with_old)
    assert {one.subject for one in four} == {one.issuer for one in four} == {old.subject}
    for certificate, holder, signer in (
        (new, new, new), (old_with_new, old, new), (new_with_old, new, old), (old, old, old)
    ):  # fmt: skip
        certificate.verify_directly_issued_by(signer)
        assert certificate.public_key() == holder.public_key()
        assert identifier(certificate, x509.SubjectKeyIdentifier) == identifier(holder, x509.SubjectKeyIdentifier)
        assert identifier(certificate, x509.AuthorityKeyIdentifier) == identifier(signer, x509.SubjectKeyIdentifier)
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
        assert (constraints.critical, constraints.value.ca, usage.critical, usage.value.key_cert_sign) == (True,) * 4
    assert len({one.serial_number for one in four}) == 4
    begin, end = old.not_valid_before_utc, old.not_valid_after_utc
    assert (old_with_new.not_valid_before_utc, old_with_new.not_valid_after_utc) == (begin, end)
    assert (new_with_old.not_valid_before_utc, new_with_old.not_valid_after_utc) == (new.not_valid_before_utc, end)
    assert begin < new.not_valid_before_utc <= server.clock()
    assert new.not_valid_after_utc > end, "EST-122: the newest is the one that lives longest"
    generation.issuing.certificate.verify_directly_issued_by(new)


@pytest.mark.slow
def test_est_116_est_127_the_stages(server):
    """EST-115: What is in /cacerts and who signs, stage by stage."""
    rollover = server.rollover()
    first = server.hierarchy
    before = issued(server)
    rollover.publish("ec-p256")
    assert len(cacerts(server)) == 6
    published = issued(server)
    published.verify_directly_issued_by(first.issuing.certificate)
    rollover.switch()
    assert len(cacerts(server)) == 6
    second = server.hierarchy
    assert second.root.certificate.public_key() != first.root.certificate.public_key()
    after = issued(server)
    after.verify_directly_issued_by(second.issuing.certificate)
    for client in (before, published, after):
        assert post(server, make_csr(subject=client.subject), client=client).status == 200, "both generations count"
    rollover.retire()
    assert set(cacerts(server)) == {second.root.certificate, second.issuing.certificate}
    assert post(server, make_csr(subject=after.subject), client=after).status == 200
    refused = post(server, make_csr(subject=before.subject), client=before)
    assert (refused.status, b"retired" in refused.body) == (403, True)
    assert rollover.stages == {1: Stage.RETIRED, 2: Stage.ISSUING}
    assert not list((server.state / "ca").glob("*.key")), "the retired keys are destroyed"


def test_a_stage_out_of_turn_is_refused_and_changes_nothing(server):
    rollover = server.rollover()
    for step, words in ((rollover.switch, "publish"), (rollover.retire, "nothing to retire")):
        with pytest.raises(RolloverError, match=words):
            step()
    rollover.publish("ec-p256")
    with pytest.raises(RolloverError, match="switch"):
        rollover.publish("ec-p256")
    with pytest.raises(RolloverError, match="nothing to retire"):
        rollover.retire()
    rollover.switch()
    with pytest.raises(RolloverError, match="retire"):
        rollover.publish("ec-p256")
    assert rollover.stages == {1: Stage.REPLACED, 2: Stage.ISSUING}


def test_a_root_that_expired_cannot_vouch_for_another(server):
    now = server.clock()
    server.clock = lambda: now + timedelta(days=4000)
    with pytest.raises(RolloverError, match="expired"):
        server.rollover().publish("ec-p256")


@pytest.mark.slow
def test_three_rollovers_and_a_restart(tmp_path):
    with ReferenceServer(tmp_path / "s") as server:
        for kind in KEYS:
            rollover = server.rollover()
            rollover.publish(kind)
            rollover.switch()
            rollover.retire()
        root = server.hierarchy.root.certificate
    assert isinstance(root.public_key(), rsa.RSAPublicKey)
    with ReferenceServer(tmp_path / "s") as server:
        assert server.hierarchy.root.certificate == root
        assert x509.load_pem_x509_certificates(server.ca_file.read_bytes()) == [root]
        issued(server).verify_directly_issued_by(server.hierarchy.issuing.certificate)


@pytest.mark.slow
@pytest.mark.parametrize("new", KEYS)
@pytest.mark.parametrize("old", ["ec-p256", "rsa-2048"])
def test_est_124_openssl_verifies_every_pair_of_generations(tmp_path, run, old, new):
    """RFC 4210 section 4.4.2: cases 1 to 4, a signer and a verifier of each generation."""
    with ReferenceServer(tmp_path / "s", ca_key_type=old) as server:
        leaves = {"old": issued(server)}
        roots = {"old": server.hierarchy.root.certificate}
        server.rollover().publish(new)
        server.rollover().switch()
        leaves["new"] = issued(server)
        roots["new"] = server.hierarchy.root.certificate
        bag = cacerts(server)
        untrusted = write(tmp_path / "untrusted.pem", *(one for one in bag if one not in roots.values()))
        for verifier, root in roots.items():
            anchor = write(tmp_path / f"root-{verifier}.pem", root)
            for signer, leaf in leaves.items():
                file = write(tmp_path / f"leaf-{signer}.pem", leaf)
                run("openssl", "verify", "-x509_strict", "-CAfile", anchor, "-untrusted", untrusted, file)
        lonely = write(tmp_path / "lonely.pem", server.hierarchy.issuing.certificate)
        alone = run("openssl", "verify", "-CAfile", tmp_path / "root-old.pem", "-untrusted", lonely,
                    tmp_path / "leaf-new.pem", check=False)  # fmt: skip
        assert alone.returncode, "it is NewWithOld that makes the difference"


@pytest.mark.slow
def test_est_124_certtool_verifies_the_rollover_chains(tmp_path, run, server):
    leaves = [issued(server)]
    roots = [server.hierarchy.root.certificate]
    server.rollover().publish("rsa-2048")
    server.rollover().switch()
    leaves.append(issued(server))
    roots.append(server.hierarchy.root.certificate)
    new_with_old, old_with_new = (
        next(link for link in server.hierarchy.links if link.public_key() == root.public_key()) for root in roots[::-1]
    )
    issuers = [server.hierarchy.others[0].issuing.certificate, server.hierarchy.issuing.certificate]
    for signer, verifier, links in ((0, 0, []), (1, 1, []), (1, 0, [new_with_old]), (0, 1, [old_with_new])):
        chain = write(tmp_path / "chain.pem", leaves[signer], issuers[signer], *links)
        anchor = write(tmp_path / "anchor.pem", roots[verifier])
        done = run("certtool", "--verify", "--load-ca-certificate", anchor, "--infile", chain)
        assert "Chain verification output: Verified" in done.stdout, done.stdout


@pytest.mark.slow
def test_rfc_4210_section_4_4_3_both_keys_sign_revocation_lists(tmp_path, run, server):
    """EST-127."""
    old = issued(server), issued(server)
    server.rollover().publish("ec-p384")
    server.rollover().switch()
    new = issued(server), issued(server)
    for good_and_revoked in (old, new):
        assert server.est.register.revoke(f"{good_and_revoked[1].serial_number:x}")
    lists = tmp_path / "crls.pem"
    lists.write_text(sim("crl", "--state", server.state).stdout)
    assert lists.read_text().count("BEGIN X509 CRL") == 4
    for root in server.hierarchy.roots:
        anchor = write(tmp_path / "root.pem", root.certificate)
        for good, revoked in (old, new):
            words = ("openssl", "verify", "-CAfile", anchor, "-untrusted", server.issuer_file, "-CRLfile", lists)
            run(*words, "-crl_check", write(tmp_path / "good.pem", good))
            done = run(*words, "-crl_check", write(tmp_path / "bad.pem", revoked), check=False)
            assert done.returncode, done.stdout
            assert "certificate revoked" in done.stderr
    # whoever knows the list of the other key only
    for block in lists.read_text().split("-----END X509 CRL-----\n")[:2]:
        (tmp_path / "one.pem").write_text(block + "-----END X509 CRL-----\n")
        text = run("openssl", "crl", "-in", tmp_path / "one.pem", "-noout", "-text").stdout
        for _good, revoked in (old, new):
            assert f"{revoked.serial_number:X}" in text


@pytest.mark.slow
@pytest.mark.parametrize("known", ["old", "new", "both"])
@pytest.mark.parametrize("stage", ["publish", "switch"])
def test_est_124_tls_certificates_of_both_generations_are_accepted_in_the_overlap(run, tmp_path, known, stage):
    """openssl and gnutls, with an anchor of either generation, at a server of either; the running server follows."""
    with ServerProcess(tmp_path / "s") as server:
        old = write(tmp_path / "old.pem", *x509.load_pem_x509_certificates(server.ca_file.read_bytes()))
        for step in ("publish", "switch")[: ("publish", "switch").index(stage) + 1]:
            done = sim("rollover", "--state", tmp_path / "s", "--stage", step, "--json")
            assert done.returncode == 0, done.stderr
        stages = json.loads(done.stdout)["generations"]
        assert stages == (
            {"1": "issuing", "2": "published"} if stage == "publish" else {"1": "replaced", "2": "issuing"}
        )
        both = x509.load_pem_x509_certificates(server.ca_file.read_bytes())
        before = x509.load_pem_x509_certificate(old.read_bytes())
        new = write(tmp_path / "new.pem", *(one for one in both if one != before))
        anchor = {"old": old, "new": new, "both": server.ca_file}[known]
        port = server.url.rpartition(":")[2]
        shown = run("openssl", "s_client", "-connect", f"localhost:{port}", "-CAfile", anchor, "-verify_return_error",
                    "-showcerts", input="")  # fmt: skip
        assert "Verify return code: 0 (ok)" in shown.stdout
        done = run("gnutls-cli", "--x509cafile", anchor, "-p", port, "localhost", input="")
        assert "The certificate is trusted" in done.stdout


@pytest.mark.parametrize("known", ["old", "new"])
@pytest.mark.parametrize("stage", ["publish", "switch"])
def test_strongswan_pki_fetches_the_rolled_ca_certificates(run, tmp_path, server, stage, known):
    """EST-116: pki --estca follows from the old anchor, and holders of the new one are served as well."""
    old = write(tmp_path / "old.pem", server.hierarchy.root.certificate)
    server.rollover().publish("ec-p256")
    new = write(tmp_path / "new.pem", server.hierarchy.others[0].root.certificate)
    if stage == "switch":
        server.rollover().switch()
    anchor = {"old": old, "new": new}[known]
    configuration = tmp_path / "strongswan.conf"
    configuration.write_text("pki {\n}\n")
    environment = {"STRONGSWAN_CONF": str(configuration), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = run("pki", "--estca", "--url", server.url, "--cacert", anchor, "--caout", "got.pem", "--outform", "pem",
               env=environment, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    got = {x509.load_pem_x509_certificate(path.read_bytes()) for path in tmp_path.glob("got*.pem")}
    assert got == set(server.hierarchy.bag), done.stderr
    assert len(got) == 6, "two roots, two issuing CAs, OldWithNew and NewWithOld"


@pytest.mark.slow
def test_the_command_reports_in_one_line_what_cannot_be(tmp_path):
    with ServerProcess(tmp_path / "s"):
        pass
    for words in (["--stage", "switch"], ["--label", "nobody"], ["--stage", "sideways"], ["--label", "cacerts"]):
        done = sim("rollover", "--state", tmp_path / "s", *words)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
    assert sim("rollover", "--state", tmp_path / "absent").returncode == 2
    assert "generation 1: issuing" in sim("rollover", "--state", tmp_path / "s", "--stage", "show").stdout


def test_the_retired_ca_is_followed_by_open_connections_too(server, connect):
    """A connection that began before a stage sees the next one in its next request."""
    connection = connect()

    def ask():
        connection.request("GET", EST + "cacerts")
        return connection.getresponse().read()

    before = ask()
    server.rollover().publish("ec-p256")
    assert ask() != before


def test_issued_certificates_do_not_outlive_their_issuer(server):
    """RFC 4210 section 4.4 note 2: what the old key signed cannot exceed OldWithNew's validity."""
    server.policy.lifetime = timedelta(days=36500)
    server.rollover().publish("ec-p256")
    assert issued(server).not_valid_after_utc <= server.hierarchy.links[0].not_valid_after_utc


@pytest.mark.slow
def test_a_csr_key_type_makes_no_difference(server):
    server.rollover().publish("rsa-2048")
    server.rollover().switch()
    for key in (ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)):
        assert post(server, make_csr(key, subject=name("any"))).status == 200
