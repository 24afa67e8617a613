"""curl with openssl, strongSwan pki and gnutls-cli against the reference server, as its users would."""

from __future__ import annotations

import pytest


@pytest.fixture
def curl(run, server):
    def runner(*words, credentials=True):
        login = ["-u", f"{server.user}:{server.password}"] if credentials else []
        return run("curl", "-sS", "--fail-with-body", "--cacert", server.ca_file, *login, *words)

    return runner


def make_request(run, kind: str) -> None:
    key = ["rsa:2048"] if kind == "rsa" else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    run("openssl", "req", "-new", "-nodes", "-newkey", *key, "-keyout", "key.pem", "-out", "req.pem",
        "-subj", "/O=Example/CN=dev-1/serialNumber=4711", "-addext", "subjectAltName=DNS:dev-1.example,IP:192.0.2.7")  # fmt: skip
    run("openssl", "req", "-in", "req.pem", "-outform", "DER", "-out", "req.der")
    run("openssl", "base64", "-in", "req.der", "-out", "req.b64")


def enrol(run, curl, server, operation="simpleenroll", *words, credentials=True) -> None:
    url = f"{server.url}/.well-known/est/{operation}"
    curl(*words, "-H", "Content-Type: application/pkcs10", "--data-binary", "@req.b64", "-o", "answer.b64", url,
         credentials=credentials)  # fmt: skip
    run("openssl", "base64", "-d", "-A", "-in", "answer.b64", "-out", "answer.p7")
    run("openssl", "pkcs7", "-inform", "DER", "-in", "answer.p7", "-print_certs", "-out", "cert.pem")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ec", "rsa"])
@pytest.mark.parametrize("version", [["--tls-max", "1.2"], ["--tlsv1.3"]], ids=["1.2", "1.3"])
def test_curl_and_openssl_enrol_and_renew(run, curl, server, kind, version):
    """EST-02, EST-35: the three operations, read and written by foreign tools."""
    make_request(run, kind)
    curl(*version, "-o", "ca.b64", f"{server.url}/.well-known/est/cacerts", credentials=False)
    run("openssl", "base64", "-d", "-A", "-in", "ca.b64", "-out", "ca.p7")
    shown = run("openssl", "pkcs7", "-inform", "DER", "-in", "ca.p7", "-print_certs").stdout
    assert server.ca_file.read_text().strip() in shown
    enrol(run, curl, server, "simpleenroll", *version)
    assert run("openssl", "verify", "-CAfile", server.ca_file, "-untrusted", server.issuer_file, "cert.pem")
    first = run("openssl", "x509", "-in", "cert.pem", "-noout", "-serial", "-text").stdout
    assert "DNS:dev-1.example, IP Address:192.0.2.7" in first
    assert "TLS Web Client Authentication" in first
    assert "Digital Signature" in first
    assert ("Key Encipherment" in first) == (kind == "rsa")
    enrol(run, curl, server, "simplereenroll", *version, "--cert", "cert.pem", "--key", "key.pem", credentials=False)
    assert run("openssl", "verify", "-CAfile", server.issuer_file, "cert.pem")
    assert [entry["authentication"] for entry in server.log()] == ["none", "basic", "tls"]
    assert server.log()[1]["issued_serial"] == server.log()[2]["client_serial"]


def test_expect_100_continue_est_15(run, curl, server):
    make_request(run, "ec")
    enrol(run, curl, server, "simpleenroll", "-H", "Expect: 100-continue")
    assert run("openssl", "verify", "-CAfile", server.issuer_file, "cert.pem")


def test_curl_anyauth_stays_on_one_connection(run, curl, server):
    make_request(run, "ec")
    enrol(run, curl, server, "simpleenroll", "--anyauth")
    assert [entry["status"] for entry in server.log()] == [401, 200]
    assert server.connections == 1


@pytest.mark.slow
def test_a_chunked_request_is_read(run, curl, server):
    make_request(run, "ec")
    enrol(run, curl, server, "simpleenroll", "-H", "Transfer-Encoding: chunked")


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("ca", ["ec-p256", "rsa-2048"])
def test_strongswan_gets_ca_certificates_enrols_and_renews(run, tmp_path, version, ca):
    from device_sdk_simulators.server import ReferenceServer

    configuration = tmp_path / "strongswan.conf"
    configuration.write_text(f"pki {{\n}}\nlibtls {{\n version_max = {version}\n}}\n")
    environment = {"STRONGSWAN_CONF": str(configuration), "PATH": "/usr/bin:/bin:/usr/sbin", "HOME": str(tmp_path)}

    def pki(*words):
        done = run("pki", *words, env=environment, check=False)
        assert done.returncode == 0, f"{words}\n{done.stderr}"

    def der(source, target):
        run("openssl", "x509", "-inform", "DER", "-in", source, "-out", target)

    with ReferenceServer(tmp_path / "server", ca_key_type=ca) as server:
        pki("--estca", "--url", server.url, "--cacert", server.ca_file, "--caout", "ca.pem", "--outform", "pem")
        got = sorted(tmp_path.glob("ca*.pem"))
        assert len(got) == 2
        run("openssl", "req", "-new", "-nodes", "-newkey", "rsa:2048", "-keyout", "k.pem", "-subj", "/O=Lab/CN=swan",
            "-outform", "DER", "-out", "r.der")  # fmt: skip
        login = f"{server.user}:{server.password}"
        # the certificate comes on standard output, so it goes through a shell
        command = 'pki --est --url "$1" --in r.der --cacert "$2" --cacert "$3" --userpass "$4" > swan.der'
        script(run, environment, command, server.url, server.ca_file, server.issuer_file, login)
        der("swan.der", "swan.pem")
        run("openssl", "verify", "-CAfile", server.issuer_file, "swan.pem")
        command = 'pki --est --url "$1" --in r.der --cacert "$2" --cacert "$3" --cert swan.der --key k.pem > next.der'
        script(run, environment, command, server.url, server.ca_file, server.issuer_file)
        der("next.der", "next.pem")
        run("openssl", "verify", "-CAfile", server.issuer_file, "next.pem")
        renewal = server.log()[-1]
    assert (renewal["operation"], renewal["authentication"]) == ("simplereenroll", "tls")
    assert renewal["tls_version"] == f"TLSv{version}"


def script(run, environment, text, *arguments) -> None:
    done = run("sh", "-c", text, "sh", *arguments, env=environment, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("version", ["VERS-TLS1.2", "VERS-TLS1.3"])
def test_gnutls_cli_shakes_hands_and_reads_an_answer(run, server, version):
    """EST-59: a certificate that GnuTLS finds nothing wrong with."""
    request = "GET /.well-known/est/csrattrs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    done = run("gnutls-cli", "--x509cafile", server.ca_file, "--priority", f"NORMAL:-VERS-ALL:+{version}",
               "-p", server.port, "localhost", input=request)  # fmt: skip
    assert "The certificate is trusted" in done.stdout
    assert "HTTP/1.1 200 OK" in done.stdout
