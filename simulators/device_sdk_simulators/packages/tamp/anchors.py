"""A trust anchor in the three forms that messages carry (RFC 5914 section 2), and what changes one."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pyasn1.codec.der.decoder import decode
from pyasn1_alt_modules import rfc5280, rfc5914, rfc5934

from device_sdk_simulators.packages.signing import key_identifier

Form: TypeAlias = Literal["certificate", "tbs", "info"]
FORMS: tuple[Form, ...] = get_args(Form)

# what CertPathControls says, or the key identifier, or the format itself
_ELSEWHERE = {
    rfc5280.id_ce_certificatePolicies,
    rfc5280.id_ce_policyConstraints,
    rfc5280.id_ce_inhibitAnyPolicy,
    rfc5280.id_ce_nameConstraints,
    rfc5280.id_ce_basicConstraints,
    rfc5280.id_ce_subjectKeyIdentifier,
    rfc5280.id_ce_authorityKeyIdentifier,
    rfc5280.id_ce_keyUsage,
}


def anchor(certificate: x509.Certificate, form: Form = "info", *, title: str = "") -> Any:
    """TrustAnchorChoice.

    Args:
        certificate: what there is to say about the anchor.
        form: in which form it is said.
        title: for people, if the form is "info".
    """
    found = rfc5914.TrustAnchorChoice()
    whole = _parsed(certificate)
    if form == "certificate":
        found["certificate"] = whole
    elif form == "tbs":
        for name in whole["tbsCertificate"]:
            if whole["tbsCertificate"][name].isValue:
                found["tbsCert"][name] = whole["tbsCertificate"][name]
    else:
        found["taInfo"]["pubKey"] = whole["tbsCertificate"]["subjectPublicKeyInfo"]
        _fill(found["taInfo"], certificate, title)
    return found


def changed_info(certificate: x509.Certificate, *, title: str = "", controls: bool = True) -> Any:
    """TrustAnchorChangeInfoChoice for an anchor that came as TrustAnchorInfo: everything about it is as the certificate says.

    Args:
        certificate: of the same key.
        title: for people.
        controls: without them nobody is an anchor's delegate any more.
    """
    found = rfc5934.TrustAnchorChangeInfoChoice()
    found["taChange"]["pubKey"] = _parsed(certificate)["tbsCertificate"]["subjectPublicKeyInfo"]
    _fill(found["taChange"], certificate, title, controls=controls)
    return found


def changed_certificate(certificate: x509.Certificate) -> Any:
    """TrustAnchorChangeInfoChoice for an anchor that came as TBSCertificate."""
    found = rfc5934.TrustAnchorChangeInfoChoice()
    change, said = found["tbsCertChange"], _parsed(certificate)["tbsCertificate"]
    change["serialNumber"] = said["serialNumber"]
    _copy(change["validity"], said["validity"])
    for name in ("issuer", "subject"):
        _copy(change[name], said[name])
    _copy(change["subjectPublicKeyInfo"], said["subjectPublicKeyInfo"])
    for one in said["extensions"]:
        change["exts"].append(one)
    return found


def public_key(certificate: x509.Certificate) -> bytes:
    """DER of its SubjectPublicKeyInfo."""
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _fill(info: Any, certificate: x509.Certificate, title: str, *, controls: bool = True) -> None:
    """What TrustAnchorInfo and TrustAnchorChangeInfo have in common, beside the key."""
    said = _parsed(certificate)["tbsCertificate"]
    extensions = {one["extnID"]: one for one in said["extensions"]} if said["extensions"].isValue else {}
    info["keyId"] = key_identifier(certificate)
    if title:
        info["taTitle"] = title
    if controls:
        _fill_controls(info["certPath"], said["subject"], extensions)
    for one in extensions.values():
        if one["extnID"] not in _ELSEWHERE:
            info["exts"].append(one)


def _fill_controls(controls: Any, name: Any, extensions: dict[Any, Any]) -> None:
    controls["taName"] = name
    if rfc5280.id_ce_certificatePolicies in extensions:
        for one in _value(extensions[rfc5280.id_ce_certificatePolicies], rfc5280.CertificatePolicies()):
            controls["policySet"].append(one)
    _fill_flags(controls, extensions)
    if rfc5280.id_ce_nameConstraints in extensions:
        _copy(controls["nameConstr"], _value(extensions[rfc5280.id_ce_nameConstraints], rfc5280.NameConstraints()))
    if rfc5280.id_ce_basicConstraints in extensions:
        length = _value(extensions[rfc5280.id_ce_basicConstraints], rfc5280.BasicConstraints())["pathLenConstraint"]
        if length.isValue:
            controls["pathLenConstraint"] = int(length)


def _fill_flags(controls: Any, extensions: dict[Any, Any]) -> None:
    flags = ["0", "0", "0"]
    if rfc5280.id_ce_policyConstraints in extensions:
        said = _value(extensions[rfc5280.id_ce_policyConstraints], rfc5280.PolicyConstraints())
        flags[0] = str(int(said["inhibitPolicyMapping"].isValue))
        flags[1] = str(int(said["requireExplicitPolicy"].isValue))
    flags[2] = str(int(rfc5280.id_ce_inhibitAnyPolicy in extensions))
    # DER: a named bit list ends with its last 1
    if bits := "".join(flags).rstrip("0"):
        controls["policyFlags"] = bits


def _value(extension: Any, kind: Any) -> Any:
    return decode(bytes(extension["extnValue"]), asn1Spec=kind)[0]


def _copy(to: Any, said: Any) -> None:
    """Into the same structure under another tag."""
    if said.typeId == rfc5280.Name.typeId:
        to[said.getName()] = said.getComponent()
        return
    for name in said:
        if said[name].isValue:
            to[name] = said[name]


def _parsed(certificate: x509.Certificate) -> Any:
    return decode(certificate.public_bytes(Encoding.DER), asn1Spec=rfc5280.Certificate())[0]
