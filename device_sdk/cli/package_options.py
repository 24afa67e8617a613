"""Options about packages of keys that operations share: who may sign them, and what goes back."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from device_sdk.cli.files import read_file
from device_sdk.cli.output import Output
from device_sdk.cli.pem import add_constraints, add_crls, certificates_from, crls_in
from device_sdk.errors import ConfigurationError, DeviceSdkError

if TYPE_CHECKING:
    from cryptography import x509

    from device_sdk.client.est import ServerKey
    from device_sdk.client.est.packages import Packages
    from device_sdk.client.est.symmetric_keys import KeyPackage, KeyPackagePolicy


def add_signers(operation: argparse.ArgumentParser) -> None:
    """Describe who may sign, and the ways around."""
    operation.add_argument(
        "--package-anchors",
        metavar="FILE",
        help="who vouches for those who sign packages of keys, PEM; nobody else does",
    )
    add_crls(operation, " of CAs that vouch for those who sign packages")
    operation.add_argument("--allow-unsigned", action="store_true", help="take a package that nobody signed")
    operation.add_argument(
        "--allow-unaddressed",
        action="store_true",
        help="take a package that is signed inside its encryption only, although whoever had it could have sent it here",
    )
    add_constraints(operation)


def add_returns(operation: argparse.ArgumentParser) -> None:
    """Describe how to do without receipts and errors."""
    operation.add_argument(
        "--no-returns", action="store_true", help="send neither receipts that are asked for nor errors to the server"
    )
    operation.add_argument(
        "--receipt-recipient",
        metavar="FILE",
        help="certificate, PEM: to whom receipts and errors are encrypted if the package asks for that",
    )


def recipient_in(path: str | None) -> x509.Certificate | None:
    """The one certificate in a file; None without a file.

    Args:
        path: of the file.

    Raises:
        ConfigurationError: the file cannot be used, or holds several.
    """
    if not path:
        return None
    found = certificates_from(read_file(path), path)
    if len(found) != 1:
        raise ConfigurationError(
            f"{path}: {len(found)} certificates, where receipts are encrypted to one", hint="leave one"
        )
    return found[0]


def signers(options: argparse.Namespace, **further: Any) -> KeyPackagePolicy:
    """The policy that `add_signers` describes.

    Args:
        options: of the command.
        further: of KeyPackagePolicy.

    Raises:
        ConfigurationError: nothing says who may sign, or a file cannot be used.
    """
    from device_sdk.client.est.symmetric_keys import KeyPackagePolicy

    if not (options.package_anchors or options.allow_unsigned):
        raise ConfigurationError(
            "nothing says who may sign packages of keys",
            hint="give --package-anchors FILE; the anchors of the server do not count for this",
        )
    path = options.package_anchors
    lists, issuers = crls_in(options.crls)
    return KeyPackagePolicy(
        certificates_from(read_file(path), path) if path else (),
        require_signature=not options.allow_unsigned,
        require_addressed=not options.allow_unaddressed,
        constraints=options.constraints,
        revocation_lists=lists,
        list_issuers=issuers,
        receipt_recipient=recipient_in(options.receipt_recipient),
        **further,
    )


def returned(
    found: KeyPackage | ServerKey, packages: Packages, out: Output, recipient: x509.Certificate | None
) -> dict[str, Any]:
    """Send the receipts that are asked for; what is stored stays, whatever becomes of them."""
    try:
        done = packages.return_receipts(found, recipient=recipient)
    except DeviceSdkError as error:
        out.say(f"note: what came is stored, and the server has no receipt: {error.message}")
        return {"receipts": [], "receipts_missing": [one.package_id.hex() for one in found.requests if one.wanted]}
    for package_id, reason in done.withheld:
        out.say(f"note: no receipt for package {package_id.hex()}: {reason}")
    return {"receipts": [one.hex() for one in done.sent]}
