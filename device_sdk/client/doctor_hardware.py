"""What can be said about a key's hardware before anybody knocks: modules, device nodes, and the files around them."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from urllib.parse import unquote

from device_sdk.model.key_uri import KeyUri
from device_sdk.wire.key_uri import parse_key_uri
from device_sdk.wire.key_uri.file import FileUri
from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri
from device_sdk.wire.key_uri.tpm2 import Tpm2Uri

Verdict = tuple[str, str, str | None]
"""Status, what was found, and what to do."""

_TCTI_VARIABLES = ("DEVICE_SDK_TCTI", "TPM2TOOLS_TCTI", "TPM2OPENSSL_TCTI")
_TPM = "/dev/tpmrm0"


def check_hardware(text: str) -> Verdict:
    """The verdict on the module, device node or file a key URI needs.

    Raises:
        UriError: the URI does not follow its grammar.
    """
    uri = parse_key_uri(text)
    if isinstance(uri, Pkcs11Uri):
        verdict = _module(uri)
    elif isinstance(uri, Tpm2Uri):
        verdict = _tpm(uri)
    else:
        verdict = _key_file(uri) if isinstance(uri, FileUri) else ("skipped", uri.scheme, None)
    return verdict if verdict[0] == "failed" else _pin_source(uri) or verdict


def _module(uri: Pkcs11Uri) -> Verdict:
    path = uri.module_path or os.environ.get("PKCS11_MODULE")
    if path is None:
        return "ok", f"PKCS#11 module {uri.module_name or 'as installed'}", None
    hint = "install the token's PKCS#11 module, or correct module-path in the key's URI"
    if not Path(path).is_file():
        return "failed", f"the PKCS#11 module {path} does not exist", hint
    if not os.access(path, os.R_OK):
        return "failed", f"the PKCS#11 module {path} cannot be read by this user", "chmod a+r, or correct module-path"
    return "ok", f"PKCS#11 module {path}", None


def _tpm(uri: Tpm2Uri) -> Verdict:
    tcti = uri.tcti or next(filter(None, map(os.environ.get, _TCTI_VARIABLES)), f"device:{_TPM}")
    name, _, node = tcti.partition(":")
    if name != "device":
        return "ok", f"TPM by {tcti}", None
    node = node or _TPM
    if not Path(node).exists():
        present = sorted(str(path) for path in Path("/dev").glob("tpm*"))
        hint = f"there are {', '.join(present)}" if present else "the kernel has no driver for a TPM, or there is none"
        return "failed", f"{node} does not exist", hint
    if not os.access(node, os.R_OK | os.W_OK):
        group = f"usermod -aG tss USER, and udev rules that give {node} to the group tss (hw/README.md)"
        return "failed", f"{node} cannot be opened by this user", group
    if Path(node).name.startswith("tpmrm"):
        return "ok", f"TPM at {node}", None
    return "warning", f"{node} serves one program at a time", f"use {_TPM}, the kernel's resource manager"


def _key_file(uri: FileUri) -> Verdict:
    folder = Path(uri.path).absolute().parent
    if not folder.is_dir():
        return "failed", f"{folder} does not exist", f"mkdir -m 700 -p {folder}"
    return "ok", f"key file in {folder}", None


def _pin_source(uri: KeyUri) -> Verdict | None:
    """What is wrong with the file a URI takes its PIN from; None if nothing is."""
    if uri.pin_source is None or uri.pin_source.startswith("env:"):
        return None
    path = Path(unquote(uri.pin_source.removeprefix("file:").removeprefix("//localhost").removeprefix("//")))
    try:
        status = path.stat()
    except OSError as error:
        return "failed", f"the PIN file {path}: {error.strerror}", "correct pin-source in the key's URI"
    if not os.access(path, os.R_OK):
        return "failed", f"the PIN file {path} cannot be read by this user", f"chown it to this user, chmod 0400 {path}"
    if stat.S_ISREG(status.st_mode) and status.st_mode & 0o007:
        return "warning", f"everybody can reach the PIN in {path}", f"chmod 0400 {path}"
    return None
