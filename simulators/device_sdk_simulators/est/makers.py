"""Whose devices may enrol: serial numbers, each with the maker that gave it, as others number theirs alike (EST-32)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from device_sdk_simulators.est.client_path import leads_to
from device_sdk_simulators.est.device_serial import serial_numbers
from device_sdk_simulators.policy import Policy


class UnclearListError(Exception):
    """The list does not say whose serial numbers it has; the text says what to write."""


def is_listed(certificate: x509.Certificate, others: Sequence[x509.Certificate], policy: Policy) -> bool:
    """Whether a device of a maker is one of those that may enrol.

    Names below an anchor are its owner's choice, so a maker is an anchor: the one at the end of the device's way.

    Args:
        certificate: the device's.
        others: what came along, the CAs between it and the anchor among them.
        policy: the makers and the list.

    Raises:
        UnclearListError: it is not, and what is listed could mean it.
    """
    listed = policy.third_party_serials
    if listed is None:
        return True
    anchors = list(dict.fromkeys(policy.third_party_anchors))
    numbers = serial_numbers(certificate, policy.third_party_serial_fields)
    fitting = [one for one in listed if (one if isinstance(one, str) else one[1]) in numbers]
    if not fitting:
        return False
    own = [anchor for anchor in anchors if leads_to(certificate, others, anchor)]
    full = [one for one in fitting if not isinstance(one, str)]
    if any(anchor in own for maker, _number in full for anchor in _makers(maker, anchors)):
        return True
    if len(anchors) == 1 and own and len(full) < len(fitting):
        return True
    _require_clear(fitting, anchors)
    return False


def _makers(maker: str, anchors: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """The anchor that is meant; none where several have the name."""
    found = [one for one in anchors if maker.lower() == _fingerprint(one) or maker == one.subject.rfc4514_string()]
    return found if len(found) == 1 else []


def _require_clear(fitting: Iterable[str | tuple[str, str]], anchors: Sequence[x509.Certificate]) -> None:
    names = [anchor.subject.rfc4514_string() for anchor in anchors]
    for one in fitting:
        if len(anchors) > 1 and (isinstance(one, str) or names.count(one[0]) > 1):
            raise UnclearListError(
                "the list does not say which maker's serial numbers it has, and several are known: "
                'write ("sha256:" and the fingerprint of the maker\'s CA, SERIAL NUMBER)'
            )


def _fingerprint(anchor: x509.Certificate) -> str:
    return "sha256:" + anchor.fingerprint(hashes.SHA256()).hex()
