"""One device of the demonstration: what it is made of and the things it does."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from narrator import Narrator
from programs import ProgramError, Server, Simulator, run


@dataclass
class Device:
    """A device, its hardware and what has happened to it so far."""

    name: str
    hardware: str
    keystore: str
    key_uri: str
    cale_key_uri: str
    mac_address: str
    state: Path
    environment: dict[str, str]
    tools: list[tuple[str, str]]
    facts: dict[str, Any] = field(default_factory=dict)

    def _command(self, tell: Narrator, *words: str) -> dict[str, Any]:
        command = ["device-sdk", *words]
        tell.command(command)
        return run(command, self.environment)

    def enrol(self, server: Server, tell: Narrator) -> None:
        """Make the key, bootstrap trust by a fingerprint, ask for a certificate with the MAC address in the request."""
        tell.step("The device makes a key inside its hardware. It has never seen the server; all it knows is the fingerprint on "
                  "its delivery note. It trusts the CA certificate that has it, and only then, over a connection that CA "
                  "vouches for, shows its password and asks for a certificate.")  # fmt: skip
        enrolled = self._command(
            tell, "enroll", "--state", str(self.state), "--key", self.key_uri, "--url", server.url,
            "--pin", server.fingerprint, "--user", server.user, "--password-file", str(server.password_file),
            "--subject", f"CN={self.name},O=Demonstration", "--mac", self.mac_address,
        )  # fmt: skip
        self.facts["enrolled"] = enrolled["certificate"]
        entry = self._logged(server, "simpleenroll")
        if entry["mac_address"] != self.mac_address:
            raise ProgramError(
                f"the server read MAC address {entry['mac_address']} in the request, not {self.mac_address}"
            )
        tell.result(f"certificate {enrolled['certificate']['serial']} for {enrolled['certificate']['subject']}; "
                    f"the server read MAC address {entry['mac_address']} in the request")  # fmt: skip
        tell.step("Can the key leave? The hardware is asked what it knows about it.")
        self._prove(self._command(tell, "keys", "show", enrolled["key_uri"]), tell)

    def _prove(self, key: dict[str, Any], tell: Narrator) -> None:
        if key["extractable"] is not False or not key["hardware"]:
            raise ProgramError(f"{key['uri']} could leave its hardware")
        proof = ", ".join(f"{name}={value}" for name, value in key["attributes"].items())
        tell.result(f"{key['key_type']} in {key['keystore']}: {proof}")

    def renew(self, server: Server, tell: Narrator) -> None:
        """Renew over TLS in which the hardware key proves who this is."""
        tell.step("Renewal needs no password: the key in the hardware signs the TLS handshake. A new key is made, proved by a "
                  "connection of its own, and takes over; then the old one is destroyed.")  # fmt: skip
        renewed = self._command(tell, "renew", "--state", str(self.state))
        entry = self._logged(server, "simplereenroll")
        if entry["authentication"] != "tls" or entry["client_serial"] != self.facts["enrolled"]["serial"]:
            raise ProgramError(
                f"the renewal was authenticated by {entry['authentication']}, not by the first certificate"
            )
        tell.result(f"certificate {renewed['certificate']['serial']}; the server saw {entry['tls_version']} with client "
                    f"certificate {entry['client_serial']}")  # fmt: skip

    def read_answer(self, server: Server, tell: Narrator) -> None:
        """Register with CALE and read an answer only this hardware can open."""
        tell.step("A second key, to read what is meant for nobody else, is made in the hardware and registered. From now on "
                  "answers travel encrypted to it, through every proxy on the way.")  # fmt: skip
        self._prove(self._command(tell, "keys", "create", self.cale_key_uri, "--type", "rsa-2048"), tell)
        self._command(
            tell, "cale", "register", "--state", str(self.state), "--url", server.cale_url, "--key", self.cale_key_uri,
            "--user", server.user, "--password-file", str(server.password_file),
        )  # fmt: skip
        answer = self._command(tell, "cale", "get", "/resource", "--state", str(self.state))
        self.facts["plaintext"] = answer["text"]
        tell.result(f"decrypted in the hardware: {answer['text'].strip()}")

    def result(self, server: Server) -> dict[str, object]:
        """What came out, each value from where it can be checked: the keystore, the certificate, or the server's log."""
        shown = run(["device-sdk", "show", "--state", str(self.state)], self.environment)
        key = run(["device-sdk", "keys", "show", shown["key_uri"]], self.environment)
        renewal = self._logged(server, "simplereenroll")
        return {
            "device": self.name,
            "keystore": key["keystore"],
            "key_uri": shown["key_uri"],
            "extractable": key["extractable"],
            "certificate_subject": shown["certificate"]["subject"],
            "certificate_serial": shown["certificate"]["serial"],
            "mac_address": renewal["mac_address"],
            "renewed_with": "hardware-tls"
            if renewal["authentication"] == "tls" and key["hardware"]
            else renewal["authentication"],
            "tls": renewal["tls_version"],
            "cale_plaintext": self.facts["plaintext"],
        }

    def _logged(self, server: Server, operation: str) -> dict[str, Any]:
        entries = [
            e for e in server.log() if e["operation"] == operation and e["status"] == 200 and self.name in e["subject"]
        ]
        if not entries:
            raise ProgramError(f"the server's log has no successful {operation} of {self.name}")
        return entries[-1]


def pkcs11_device(directory: Path, softhsm: Simulator) -> Device:
    """A router with a PKCS#11 token."""
    token, _, query = str(softhsm.facts["uri"]).partition("?")
    return Device(
        name="router-7",
        hardware="a router with a PKCS#11 token (SoftHSM2)",
        keystore="pkcs11",
        key_uri=f"{token};object=device-key?{query}",
        cale_key_uri=f"{token};object=cale-key?{query}",
        mac_address="00:00:5e:00:53:07",
        state=directory / "router-7",
        environment=softhsm.environment,
        tools=[
            ("What is on its token, by OpenSC; look for \"never extractable\":",
             (f"PIN=$(cat {softhsm.facts['pin_file']}) pkcs11-tool --module {softhsm.facts['module_path']} "
             "--token-label router-7 --login --pin env:PIN --list-objects")),
        ],
    )  # fmt: skip


def tpm2_device(directory: Path, swtpm: Simulator) -> Device:
    """A gateway with a TPM."""
    keys = directory / "gateway-2-keys"
    keys.mkdir(mode=0o700)
    return Device(
        name="gateway-2",
        hardware="a gateway with a TPM 2.0 (swtpm)",
        keystore="tpm2",
        key_uri=f"tpm2:file={keys}/device-key.pem",
        cale_key_uri=f"tpm2:file={keys}/cale-key.pem",
        mac_address="00:00:5e:00:53:02",
        state=directory / "gateway-2",
        environment=swtpm.environment,
        tools=[
            ("Who made its TPM, by tpm2-tools:", "tpm2_getcap properties-fixed | grep -A 2 -e MANUFACTURER -e VENDOR"),
            ("A certificate request signed by its TPM, by OpenSSL with tpm2-openssl:",
             f"openssl req -provider tpm2 -provider default -new -key {keys}/cale-key.pem -subj /CN=by-hand -noout -verify"),
        ],
    )  # fmt: skip
