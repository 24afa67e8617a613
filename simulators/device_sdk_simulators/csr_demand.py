"""What a CA wants its CSRs to look like, as the owner of the reference server says it."""

from __future__ import annotations

from dataclasses import dataclass

FORMS = ("draft-04", "rfc7030", "rfc8951", "rfc9908", "both")


@dataclass(frozen=True)
class DemandedExtension:
    """An extension of the extensionRequest.

    Attributes:
        oid: dotted.
        critical: as the CSR has to have it.
        value: DER of its value, to be used as it is; None leaves it to the client (RFC 9908 only). In a SAN, an empty
            iPAddress and an empty directoryName are for the client to fill in.
    """

    oid: str
    critical: bool = False
    value: bytes | None = None


@dataclass(frozen=True)
class Demand:
    """What /csrattrs says to some clients, and what their CSRs are held to.

    Attributes:
        form: how it is said: "draft-04" (object identifiers only), "rfc7030" (the macAddress inside extensionRequest, as its
            example has it), "rfc8951" (object identifiers and attributes), "rfc9908" (a template), or "both" of the last.
        label: for this CA label only; None for every one, "" for requests without label.
        user: for this user of HTTP authentication only.
        device: for the device with this serial number in its certificate only.
        key: "ec-p256", "ec-p384", "ec-p521", "rsa-2048", "rsa-3072", "rsa-4096"; None for any.
        signature: object identifier of the signature algorithm or hash; a template has no place for it.
        subject: attributes of the subject, with the text to use, or None for the client to fill in. Lists can only name
            them; the texts need a template.
        extensions: of the extensionRequest.
        attributes: object identifiers of further PKCS#10 attributes.
        mac_address: whether the CSR must hold one.
        enforce: whether a CSR that does not follow is refused.
    """

    form: str = "rfc8951"
    label: str | None = None
    user: str | None = None
    device: str | None = None
    key: str | None = None
    signature: str | None = None
    subject: tuple[tuple[str, str | None], ...] = ()
    extensions: tuple[DemandedExtension, ...] = ()
    attributes: tuple[str, ...] = ()
    mac_address: bool = False
    enforce: bool = True

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise ValueError(f"there is no form {self.form!r} of CSR attributes; there are {', '.join(FORMS)}")

    def concerns(self, label: str, user: str | None, device: str | None) -> bool:
        """Whether this is said to such a client."""
        wanted = ((self.label, label), (self.user, user), (self.device, device))
        return all(mine is None or mine == theirs for mine, theirs in wanted)

    @property
    def personal(self) -> bool:
        """Whether one has to know who asks."""
        return self.user is not None or self.device is not None
