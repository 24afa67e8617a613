"""What may be said about a certificate that was issued: revoke it, or accept it (RFC 5272 sections 6.11 and 6.14)."""

from __future__ import annotations

from pyasn1_alt_modules import rfc6402

from device_sdk_simulators.ca.names import same_name
from device_sdk_simulators.cmc.answer import SUCCESS, Status
from device_sdk_simulators.cmc.desk import Case, Desk
from device_sdk_simulators.cmc.refusal import BAD_CERT_ID, CmcRefusedError
from device_sdk_simulators.cmc.revocation import find_certificate, revoke


class Afterwards(Desk):
    """Revocation and confirmation; a Full PKI Response MUST be returned for both."""

    def revoke(self, case: Case) -> None:
        """RevokeRequest, signed, or without signature and with the shared secret; CmcRefusedError."""
        control = case.full.controls[rfc6402.id_cmc_revokeRequest]
        by_secret = case.message.signer is None and control.value["passphrase"].isValue
        client = None if by_secret else self.author(case)
        self.once(case)
        serial = revoke(control, client, case.route.site, self.shared.database, self.store)
        case.facts |= {"revoked_serial": serial, "revocation_reason": int(control.value["reason"])}
        case.answer.statuses = [Status(SUCCESS, (control.body_part,))]

    def confirm(self, case: Case) -> None:
        """ConfirmCertAcceptance by the holder of the certificate; CmcRefusedError."""
        control = case.full.controls[rfc6402.id_cmc_confirmCertAcceptance]
        client = self.author(case)
        self.once(case)
        certificate = find_certificate(control, self.shared.database)
        own = client.certificate
        if certificate is None or own is None or not same_name(own.subject, certificate.subject):
            raise CmcRefusedError(BAD_CERT_ID, "no such certificate of yours", body_parts=(control.body_part,))
        case.facts["confirmed_serial"] = f"{certificate.serial_number:x}"
        case.answer.statuses = [Status(SUCCESS, (control.body_part,))]
