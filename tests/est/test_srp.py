"""Enrolment with nothing but a user name and a password: certificate-less TLS (RFC 7030 section 3.3.3, EST-64, EST-68)."""

from __future__ import annotations

import pytest
from cryptography import x509
from device_sdk_simulators.server import ReferenceServer
from device_sdk_simulators.srp.service import SrpSettings

from device_sdk.client.est import Credentials, EstClient
from device_sdk.errors import (
    CertificateMismatchError,
    ConfigurationError,
    EnrolmentPendingError,
    RedirectRefusedError,
    SharedSecretError,
)
from device_sdk.keystores.registry import create_key
from device_sdk.model.csr import CsrSpec
from device_sdk.model.keys import KeyType
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust, TlsIdentity
from tests.cli.conftest import Cli, cli, leaf, openssl  # noqa: F401 - a fixture
from tests.est.pki import Ca, name, new_key

pytestmark = pytest.mark.slow

USER, PASSWORD = "router-7", "open sesame"
SPEC = CsrSpec(subject=name("router-7"))
NOTHING = ServerTrust()


@pytest.fixture
def server(tmp_path):
    with ReferenceServer(tmp_path / "server", srp=SrpSettings(user=USER, password=PASSWORD)) as running:
        yield running


@pytest.fixture
def connect(server):
    opened = []

    def start(trust=NOTHING, *, password=PASSWORD, **options):
        opened.append(EstClient(server.srp_url, trust, srp=Credentials(USER, Secret(password)), **options))
        return opened[-1]

    yield start
    for client in opened:
        client.close()


def operations(server) -> list[tuple[object, object]]:
    return [(entry.get("operation"), entry.get("status")) for entry in server.log()]


@pytest.mark.slow
@pytest.mark.parametrize("where", ["file", "token"])
def test_est_64_est_68_from_a_password_to_a_certificate(server, connect, where, tmp_path, softhsm_token):
    """The password authorizes the server, whose CA certificates become the Explicit anchors of everything that follows."""
    uri = softhsm_token.uri_of("device") if where == "token" else f"file:{tmp_path}/device.pem"
    with create_key(uri, KeyType.EC_P256) as key:
        with connect() as client:
            enrolled = client.enroll(key, SPEC)
            anchors = client.cacerts().anchors
        assert [anchor.subject for anchor in anchors] == [server.hierarchy.root.certificate.subject]
        assert enrolled.certificate.public_key() == key.public_key()
        entry = next(entry for entry in server.log() if entry["operation"] == "simpleenroll")
        assert (entry["authentication"], entry["srp_user"], entry["binding"]) == ("srp", USER, "tls-unique")
        # from now on with certificates, on the other port
        identity = TlsIdentity(enrolled.chain, key)
        with EstClient(server.url, ServerTrust(anchors), identity=identity) as client:
            renewed = client.reenroll(key)
        assert renewed.certificate.subject == enrolled.certificate.subject


def test_est_92_a_server_that_insists_on_the_binding(server, connect):
    """tls-unique of a certificate-less connection is as good as any (EST-93)."""
    server.policy.require_binding = True
    assert connect().enroll(new_key(), SPEC).certificate


def test_est_68_a_wrong_password_is_one_try(server, connect):
    """Neither the steps of an enrolment nor a second call of it try the password again."""
    client = connect(password="guess")
    for _ in range(3):
        with pytest.raises(SharedSecretError, match="/cacerts: the password of user 'router-7' is wrong"):
            client.enroll(new_key(), SPEC)
    assert server.srp.guard.failures()[f"user:{USER}"] == 1


def test_explicit_anchors_that_are_given_stay_the_only_ones(server, connect):
    """The password authorizes the server to be talked to; it does not outvote anchors that somebody configured (EST-45)."""
    stranger = ServerTrust(explicit=(Ca.root("another").certificate,))
    with pytest.raises(CertificateMismatchError):
        connect(stranger).enroll(new_key(), SPEC)
    ours = ServerTrust(explicit=tuple(x509.load_pem_x509_certificates(server.ca_file.read_bytes())))
    assert connect(ours).enroll(new_key(), SPEC).certificate


def test_a_request_that_waits(server, connect):
    """EST-164: 202, then the same again over a connection that proves the password anew."""
    server.policy.require_approval = True
    key = new_key()
    client = connect()
    with pytest.raises(EnrolmentPendingError):
        client.enroll(key, SPEC)
    server.drop_connections()
    for row in server._database.rows("SELECT id, identity FROM requests"):
        assert row["identity"] == f"srp:{USER}"
        server.est.queue.decide(row["id"], approve=True)
    assert client.enroll(key, SPEC).certificate


def test_est_28_the_password_is_not_taken_to_another_origin(server, connect, tmp_path):
    """The shared secret is for the two parties only (RFC 7030 section 6)."""
    with ReferenceServer(tmp_path / "elsewhere", srp=SrpSettings(user=USER, password=PASSWORD)) as elsewhere:
        server.faults.parse(f"redirect={elsewhere.srp_url}/.well-known/est/cacerts@cacerts")
        with pytest.raises(RedirectRefusedError, match="the shared password authorizes its own server only"):
            connect().cacerts()
        assert elsewhere.srp.listener.connections == 0


def test_what_does_not_go_together(server):
    """No client certificate can be shown over SRP, and no CA says anything about the server."""
    srp = Credentials(USER, Secret(PASSWORD))
    root = Ca.root("a CA")
    identity = TlsIdentity((root.certificate,), root.key)
    for trust, options in ((NOTHING, {"identity": identity}), (ServerTrust(implicit=True), {})):
        with pytest.raises(ConfigurationError, match="certificate-less TLS"):
            EstClient(server.srp_url, trust, srp=srp, **options)
    assert server.srp.listener.connections == 0


def test_without_a_password_anchors_are_still_needed(server):
    """EST-70: SRP is the only other way."""
    with pytest.raises(ConfigurationError, match="nothing is trusted"):
        EstClient(server.srp_url, NOTHING)


class TestCommandLine:
    """`device-sdk est ... --srp-user NAME --srp-password-file FILE`, with a file or a token behind --key."""

    @pytest.fixture
    def password_file(self, tmp_path):
        file = tmp_path / "srp-password"
        file.touch(0o600)
        file.write_text(PASSWORD + "\n")
        return file

    @pytest.fixture
    def words(self, server, password_file):
        return "--url", server.srp_url, "--srp-user", USER, "--srp-password-file", password_file

    @pytest.mark.slow
    @pytest.mark.parametrize("where", ["file", "token"])
    def test_enroll(self, cli, server, words, where, tmp_path, softhsm_token):  # noqa: F811
        uri = softhsm_token.uri_of("device") if where == "token" else f"file:{tmp_path}/device.pem"
        cli.ok("keys", "create", uri, "--type", "ec-p256")
        out = tmp_path / "device-certificate.pem"
        done = cli.ok("est", "enroll", *words, "--key", uri, "--subject", "CN=router-7", "--out", out)
        assert (done.out, done.err) == ("", "")
        assert leaf(out).subject.rfc4514_string() == "CN=router-7"
        assert "OK" in openssl("verify", "-CAfile", server.ca_file, "-untrusted", out, out)
        assert operations(server) == [("cacerts", 200), ("csrattrs", 200), ("simpleenroll", 200)]

    @pytest.mark.slow
    def test_the_password_from_environment_and_descriptor(self, cli, server, password_file):  # noqa: F811
        base = ("est", "cacerts", "--url", server.srp_url, "--json")
        environment = {"DEVICE_SDK_EST_SRP_USER": USER, "DEVICE_SDK_SRP_PASSWORD": PASSWORD}
        assert cli.ok(*base, env=environment).json["anchors"][0]["sha256"] == server.ca_sha256
        with password_file.open("rb") as file:
            number = file.fileno()
            assert cli.ok(*base, "--srp-user", USER, "--srp-password-fd", number, pass_fds=(number,)).json["anchors"]
        configuration = f'[est]\nsrp_user = "{USER}"\nsrp_password_file = "{password_file}"\n'
        (cli.directory / "config.toml").write_text(configuration)
        assert cli.ok(*base).json["anchors"]

    @pytest.mark.slow
    def test_a_wrong_password_is_exit_code_6_and_one_try(self, cli, server, words, password_file):  # noqa: F811
        password_file.write_text("a guess")
        said = cli.fails(6, "est", "cacerts", *words)
        assert "the password of user 'router-7' is wrong, or the server is one that does not know it" in said
        assert "a guess" not in said
        done = cli("est", "cacerts", *words, "--json")
        assert done.code == 6
        assert (done.error["code"], done.error["user"]) == ("shared-secret", USER)
        assert server.srp.guard.failures()[f"user:{USER}"] == 2

    @pytest.mark.slow
    def test_a_server_that_pauses_is_exit_code_5(self, cli, server, words, password_file):  # noqa: F811
        password_file.write_text("a guess")
        now = server.clock()
        server.clock = lambda: now
        for _ in range(5):
            cli.fails(6, "est", "cacerts", *words)
        assert "not try a password now" in cli.fails(5, "est", "cacerts", *words)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("more", "said"),
        [
            (("--pin", "sha256:" + "00" * 32), "--pin and --implicit are for servers with certificates"),
            (("--implicit",), "--pin and --implicit are for servers with certificates"),
        ],
    )
    def test_what_does_not_go_together(self, cli, server, words, more, said):  # noqa: F811
        assert said in cli.fails(2, "est", "cacerts", *words, *more)
        assert server.srp.listener.connections == 0

    @pytest.mark.slow
    def test_keys_of_the_server_and_full_cmc(self, cli, server, words, tmp_path):  # noqa: F811
        server.policy.serverkeygen = {"clear"}
        key, out = tmp_path / "generated.pem", tmp_path / "certificate.pem"
        asked = ("--subject", "CN=router-7", "--out", out)
        cli.ok("est", "serverkeygen", *words, *asked, "--allow-clear", "--key-out", key)
        assert operations(server)[-1] == ("serverkeygen", 200)
        assert openssl("pkey", "-in", key, "-pubout") == openssl("x509", "-in", out, "-noout", "-pubkey")
        server.policy.fullcmc = True
        cli.ok("est", "fullcmc", *words, *asked, "--key", f"file:{key}", "--allow-imported")
        assert operations(server)[-1] == ("fullcmc", 200)

    @pytest.mark.slow
    def test_serverkeygen_with_a_pair_of_its_own(self, cli, server, words, tmp_path):  # noqa: F811
        server.policy.serverkeygen = {"clear"}
        key, out = f"file:{tmp_path}/device.pem", tmp_path / "certificate.pem"
        cli.ok("keys", "create", key, "--type", "ec-p256")
        cli.ok("est", "enroll", *words, "--key", key, "--subject", "CN=router-7", "--out", out)
        asked = ("--url", server.url, "--anchors", server.ca_file, "--allow-clear", "--key-out", tmp_path / "new.pem")
        assert "go together" in cli.fails(2, "est", "serverkeygen", *asked, "--tls-cert", out)
        cli.ok(
            "est",
            "serverkeygen",
            *asked,
            "--tls-cert",
            out,
            "--tls-key",
            key,
            "--out",
            tmp_path / "new-certificate.pem",
        )
        assert server.log()[-1]["authentication"] == "tls"
        assert leaf(tmp_path / "new-certificate.pem").subject.rfc4514_string() == "CN=router-7"

    @pytest.mark.slow
    def test_half_of_it(self, cli, server, password_file):  # noqa: F811
        url = ("est", "cacerts", "--url", server.srp_url)
        assert "no password for SRP user router-7" in cli.fails(2, *url, "--srp-user", USER)
        assert "no user name" in cli.fails(2, *url, "--srp-password-file", password_file)
        assert "say whom to trust" in cli.fails(2, *url)
        missing = ("--srp-user", USER, "--srp-password-file", "/nowhere/password")
        assert "cannot read the secret in /nowhere/password" in cli.fails(2, *url, *missing)

    @pytest.mark.slow
    def test_a_certificate_counts_more_than_what_is_configured(self, cli, server, words, tmp_path):  # noqa: F811
        """SRP in the configuration was for the first enrolment; on the command line it is a contradiction."""
        key, out = f"file:{tmp_path}/device.pem", tmp_path / "certificate.pem"
        cli.ok("keys", "create", key, "--type", "ec-p256")
        cli.ok("est", "enroll", *words, "--key", key, "--subject", "CN=router-7", "--out", out)
        pair = ("--key", key, "--cert", out, "--anchors", server.ca_file)
        said = cli.fails(2, "est", "enroll", *words, *pair)
        assert "exclude each other" in said
        environment = {"DEVICE_SDK_EST_SRP_USER": USER, "DEVICE_SDK_SRP_PASSWORD": PASSWORD}
        cli.ok("est", "reenroll", "--same-key", "--url", server.url, *pair, "--out", out, env=environment)
        assert operations(server)[-1] == ("simplereenroll", 200)

    @pytest.mark.slow
    @pytest.mark.parametrize("word", [PASSWORD, "a-guess-nobody-makes"])
    def test_the_password_is_in_nothing_that_is_said(self, cli, server, words, password_file, word):  # noqa: F811
        """Not with -v, not in a traceback; and the server's log has the user, and no more."""
        password_file.write_text(word)
        done = cli("est", "cacerts", *words, "-v", env={"DEVICE_SDK_TRACEBACK": "1"})
        assert done.code == (0 if word == PASSWORD else 6)
        assert word not in done.out + done.err
        log = server._audit.path.read_text()
        assert f'"srp_user": "{USER}"' in log
        assert word not in log

    def test_the_password_is_in_no_argument(self, cli, server, words):  # noqa: F811
        """There is no flag for it."""
        assert "unrecognized arguments" in cli.fails(2, "est", "cacerts", *words, "--srp-password", "x")
