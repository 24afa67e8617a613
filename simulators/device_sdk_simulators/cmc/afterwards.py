"""What may be said about a certificate that was issued: revoke it, or accept it (RFC 5272 sections 6.11 and 6.14)."""

from __future__ import annotations

from pyasn1_alt_modules import rfc6402

from device_sdk_simulators.cmc.answer import SUCCESS, Status
from device_sdk_simulators.cmc.desk import Case, Desk
from device_sdk_simulators.cmc.refusal import BAD_CERT_ID, CmcRefusedError
from device_sdk_simulators.cmc.revocation import find_issued, revocable


class Afterwards(Desk):
    """Revocation and confirmation; a Full PKI Response MUST be returned for both."""

    def revoke(self, case: Case) -> None:
        """RevokeRequest, signed, or without signature and with the shared secret; CmcRefusedError.

        What is revoked already stays so and counts as done: the client may have lost the answer.
        """
        control = case.full.controls[rfc6402.id_cmc_revokeRequest]
        by_secret = case.message.signer is None and control.value["passphrase"].isValue
        client = None if by_secret else self.author(case)
        site, database, source = case.route.site, self.shared.database, case.request.source
        found = revocable(control, client, site, database, lambda user, check: self.proofs.prove(user, source, check))
        reason = int(control.value["reason"])
        # a copy of one before must not bring its reason back
        self.once(case, repeatable=self.store.revocation_reason(found.serial) == reason)
        with database.transaction():
            site.register.revoke(found.serial)
            self.store.note_revocation(found.serial, reason, "shared secret" if client is None else client.identity)
        case.facts |= {"revoked_serial": found.serial, "revocation_reason": reason}
        case.answer.statuses = [Status(SUCCESS, (control.body_part,))]

    def confirm(self, case: Case) -> None:
        """ConfirmCertAcceptance by the holder of the certificate; CmcRefusedError."""
        control = case.full.controls[rfc6402.id_cmc_confirmCertAcceptance]
        client = self.author(case)
        named: rfc6402.CMCCertId = control.value
        found = find_issued(int(named["serialNumber"]), named["issuer"], case.route.site, self.shared.database)
        if found is None or not found.is_of(client):
            raise CmcRefusedError(BAD_CERT_ID, "no such certificate of yours", body_parts=(control.body_part,))
        self.once(case)
        case.facts["confirmed_serial"] = found.serial
        case.answer.statuses = [Status(SUCCESS, (control.body_part,))]
