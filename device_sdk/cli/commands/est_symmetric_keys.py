"""`device-sdk est symmetrickeys`: keys from the server, into a token, a TPM or files (RFC 8295 section 5)."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_sdk.cli import inputs, waiting
from device_sdk.cli.delivery import deliver
from device_sdk.cli.files import OutputFile
from device_sdk.cli.output import Output
from device_sdk.cli.package_options import add_returns, add_signers, returned, signers
from device_sdk.cli.pem import name_of
from device_sdk.cli.secrets import pin_provider
from device_sdk.cli.settings import Settings
from device_sdk.errors import ConfigurationError, KeyStoreError

if TYPE_CHECKING:
    from device_sdk.client.est.packages import Packages
    from device_sdk.client.est.symmetric_keys import KeyPackage, KeyPackagePolicy
    from device_sdk.keystores.secret_import import StoredKeys
    from device_sdk.model.trust import TlsIdentity
    from device_sdk.wire.cms.recipients import OpeningKey


def add_arguments(operation: argparse.ArgumentParser) -> None:
    """Describe what it has beyond the other operations."""
    operation.add_argument(
        "--cert", metavar="FILE", help="certificate for TLS; its key is --key, which opens the package"
    )
    operation.add_argument(
        "--place",
        metavar="TARGET",
        help="which package: `where` of an entry of type 0024 (default: the server's choice)",
    )
    where = operation.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--to",
        metavar="URI",
        help="store the keys in this PKCS#11 token: sensitive, never to leave it; or tpm2:dir=DIR: in files that only this "
        "TPM opens",
    )
    where.add_argument("--out-dir", metavar="DIR", help="write a file a key into this directory, JSON, mode 0600")
    operation.add_argument(
        "--replace", action="store_true", help="replace keys that are there under the same identifier"
    )
    add_signers(operation)
    operation.add_argument(
        "--allow-unencrypted", action="store_true", help="take a package that nothing but TLS protects"
    )
    operation.add_argument(
        "--device-binding",
        metavar="TEXT",
        action="append",
        default=[],
        help="identifier by which keys may be bound to this device; may be given more than once",
    )
    operation.add_argument(
        "--decrypt-key",
        metavar="URI",
        help="open the package with this key instead of --key: a key pair, or a symmetric key in a token or TPM",
    )
    operation.add_argument(
        "--decrypt-secret-file",
        metavar="FILE",
        help="or with a key shared with the sender: hex digits of 16, 24 or 32 bytes",
    )
    operation.add_argument("--decrypt-id", metavar="HEX", help="identifier of --decrypt-secret-file")
    add_returns(operation)


def run(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    """Fetch a package, store its keys, and send the receipts that it asks for."""
    from device_sdk.cli.commands import est

    policy = signers(
        options, require_encryption=not options.allow_unencrypted, device_bindings=tuple(options.device_binding)
    )
    with ExitStack() as opened:
        file = opened.enter_context(OutputFile(options.out))
        identity = est._pair(options, settings, opened)
        openers = _openers(options, settings, opened, identity)
        packages = opened.enter_context(est._client(settings, out, identity)).packages
        found = packages.symmetric_keys(
            policy,
            options.place,
            decrypt=openers,
            report=not options.no_returns,
            wait_s=inputs.wait(settings),
            progress=waiting.patience(out),
        )
        if found is None:
            out.say("note: the server has no symmetric keys for this client")
            return deliver(file, b"no keys\n", {"keys": [], "receipts": []}, out)
        opened.callback(found.wipe)
        stored = _store(found, packages, policy, options, settings)
        data = _described(found, stored)
        data |= {} if options.no_returns else returned(found, packages, out, policy.receipt_recipient)
        lines = [
            f"{one['key_id']}  {one['algorithm']}  {', '.join(one['usages'])}  {one['place']}" for one in data["keys"]
        ]
        return deliver(file, ("\n".join(lines) + "\n").encode(), data, out)


def _openers(
    options: argparse.Namespace, settings: Settings, opened: ExitStack, identity: TlsIdentity | None
) -> list[OpeningKey]:
    from device_sdk.cli.server_key_options import shared_key

    if bool(options.decrypt_secret_file) != bool(options.decrypt_id):
        raise ConfigurationError("--decrypt-secret-file and --decrypt-id go together")
    found: list[OpeningKey] = [shared_key(options)] if options.decrypt_secret_file else []
    if options.decrypt_key:
        found.append(inputs.opening_key(options.decrypt_key, settings, opened))
    elif identity is not None:
        found.append(identity.key)
    return found


def _store(
    found: KeyPackage, packages: Packages, policy: KeyPackagePolicy, options: argparse.Namespace, settings: Settings
) -> StoredKeys:
    from device_sdk.keystores.secret_import import store_keys

    place = Path(options.out_dir) if options.out_dir else options.to
    try:
        return store_keys(found.keys, place, replace=options.replace, pin=pin_provider(settings))
    except (KeyStoreError, ConfigurationError) as error:
        if not options.no_returns:
            packages.return_key_error(found, error, recipient=policy.receipt_recipient)
        raise


def _described(found: KeyPackage, stored: StoredKeys) -> dict[str, Any]:
    return {
        "keys": [{**key.to_json(), "place": stored.places[key.key_id]} for key in found.keys],
        "signers": list(dict.fromkeys(name_of(one.subject) for one in found.signers)),
        "encrypted": found.encrypted,
        "packages": [one.package_id.hex() for one in found.requests],
    }
