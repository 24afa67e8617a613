"""What `--keep` prints: commands to talk to everything that is still running, made to be copied into another terminal."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from device import Device
    from programs import Server

_EST = "/.well-known/est"


def server_commands(server: Server) -> list[tuple[str, str]]:
    """What to do with the server by curl and openssl: words, and the command."""
    ca, host = server.facts["ca_file"], server.url.removeprefix("https://")
    curl = f"curl --silent --show-error --fail --cacert {ca}"
    login = f'-K <(printf \'user = "{server.user}:%s"\' "$(cat {server.password_file})")'
    key = f"{server.facts['state']}/by-hand"
    return [
        ("The CA certificates, as any EST client gets them:",
         f"{curl} {server.url}{_EST}/cacerts | base64 -d | openssl pkcs7 -inform DER -print_certs -noout"),
        ("What the server wants to see in a certificate request:",
         f"{curl} {server.url}{_EST}/csrattrs | base64 -d | openssl asn1parse -inform DER"),
        ("The server's own certificate:",
         f"openssl s_client -connect {host} -CAfile {ca} -brief </dev/null"),
        ("An enrolment without any of our code:",
         (f"openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=by-hand -keyout {key}.key "
         f"-outform DER | base64 >{key}.csr && {curl} {login} -H 'Content-Type: application/pkcs10' "
         f"--data-binary @{key}.csr {server.url}{_EST}/simpleenroll | base64 -d | "
         "openssl pkcs7 -inform DER -print_certs | openssl x509 -noout -subject -issuer -serial")),
        ("Every request so far:", f"tail -n 3 {server.facts['log_file']}"),
    ]  # fmt: skip


def device_commands(device: Device) -> list[tuple[str, str]]:
    """What to do with a device: words, and the command."""
    state = device.state
    ours = [
        ("What it knows about itself:", f"./run shell device-sdk show --state {state}"),
        ("A look at everything it needs:", f"./run shell device-sdk doctor --online --state {state}"),
        ("Its answer, decrypted once more:", f"./run shell device-sdk cale get /resource --state {state}"),
        ("Its certificate:", f"openssl x509 -in {state}/current.pem -noout -subject -serial -issuer -enddate"),
    ]
    return [*ours, *device.tools]


def exports(device: Device) -> list[str]:
    """The environment the commands of a device need."""
    return [f"export {name}={shlex.quote(value)}" for name, value in device.environment.items()]
