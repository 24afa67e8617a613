"""Handing over what a server issued: to a file or to stdout, and never lost on the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from device_sdk.cli.files import OutputFile
from device_sdk.cli.output import Output, one_line
from device_sdk.cli.pem import describe, name_of, pem_of
from device_sdk.errors import ClockError, ConfigurationError

if TYPE_CHECKING:
    from device_sdk.client.est import CaCertificates, Enrolled
    from device_sdk.wire.csrattrs import CsrAttributes


def issued(file: OutputFile, enrolled: Enrolled, out: Output) -> int:
    """Deliver an issued certificate with its chain; gives the exit code."""
    for note in enrolled.differences:
        out.say(f"note: {note}")
    pem = pem_of(enrolled.chain)
    data = {"certificate": describe(enrolled.certificate), "pem": pem.decode(), "notes": list(enrolled.differences)}
    return deliver(file, pem, data, out)


def deliver_ca_certificates(file: OutputFile, found: CaCertificates, out: Output) -> int:
    """Deliver what /cacerts gave, and say what of it does not count; gives the exit code."""
    for ignored in found.ignored:
        out.say(f"note: ignored {name_of(ignored.certificate.subject)}: {ignored.reason}")
    pem = pem_of((*found.anchors, *found.intermediates))
    data = {
        "anchors": [describe(certificate) for certificate in found.anchors],
        "intermediates": [describe(certificate) for certificate in found.intermediates],
        "ignored": [describe(item.certificate) | {"reason": item.reason} for item in found.ignored],
        "pem": pem.decode(),
    }
    return deliver(file, pem, data, out)


def deliver_wishes(file: OutputFile, wishes: CsrAttributes, out: Output) -> int:
    """Deliver what /csrattrs gave, in words or as data; gives the exit code."""
    from device_sdk.wire import csrattrs_oids as oids
    from device_sdk.wire.csrattrs_fixed import fixed_values

    data: dict[str, Any] = {
        "keys": [str(wish) for wish in wishes.keys],
        "signatures": [wish.name for wish in wishes.signatures],
        "mac_address": wishes.wants_mac,
        "channel_binding": wishes.wants_binding,
        "otp": oids.OTP_CHALLENGE in wishes.challenges,
        "revocation": oids.REVOCATION_CHALLENGE in wishes.challenges,
        "identity_linking": oids.EST_IDENTITY_LINKING in wishes.challenges,
        "extensions": [wish.oid for wish in wishes.extensions],
        "subject_attributes": [*wishes.subject_types, *(part.oid for part in wishes.subject or ())],
        "unknown": [element.oid for element in wishes.unknown],
    }
    lines = [f"{name.replace('_', ' ')}: {_shown(value)}" for name, value in data.items() if value]
    fixed = fixed_values(wishes)
    lines += [f"fixed: {one.place} {one.oid} = {one_line(one.text)}" for one in fixed]
    data["fixed"] = [vars(one) | {"der": one.der.hex()} for one in fixed]
    return deliver(file, ("\n".join(lines) or "no wishes").encode() + b"\n", data, out)


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else "asked for"


@contextmanager
def keeping_early(file: OutputFile, out: Output) -> Iterator[None]:
    """Put an issued certificate that is not valid yet where it would have gone: only this machine's clock is against it.

    The error goes on, as nobody should use the certificate yet.

    Raises:
        ClockError: as it came, saying where the certificate is; with --json its facts have it too.
    """
    try:
        yield
    except ClockError as error:
        if error.pem is None:
            raise
        place = "on standard output"
        try:
            file.write(error.pem.encode())
            place = f"in {file.path}" if file.path else place
        except ConfigurationError as problem:
            out.say(f"note: {problem.message}")
        if place == "on standard output" and not out.as_json:
            out.content(error.pem.encode())
        error.hint = f"the certificate is {place}; set the clock before it is used, or wait"
        raise


def deliver(file: OutputFile, content: bytes, data: dict[str, Any], out: Output) -> int:
    """To the file or to stdout; what cannot be written to the file is not lost, but goes to stdout as well."""
    try:
        file.write(content)
    except ConfigurationError as error:
        error.hint = "what was to be written there is on standard output"
        if not out.as_json:
            out.content(content)
        out.error(error, data)
        return error.exit_code
    if file.path:
        data = data | {"file": file.path}
    if out.as_json or not file.path:
        out.data(data, content.decode())
    return 0
