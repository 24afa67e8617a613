"""Which shared library serves a `pkcs11:` URI."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from device_sdk.errors import KeyStoreError, TokenNotFoundError
from device_sdk.keystores.atomic import is_file
from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri

MODULE_VARIABLES = ("PKCS11_MODULE", "PKCS11_PROVIDER_MODULE")
"""Environment variables that name the module when the URI does not; the second one is pkcs11-provider's."""

_DEFAULTS = ("p11-kit-proxy", "softhsm2")


def module_file(uri: Pkcs11Uri) -> str:
    """The module's file: from module-path, module-name, the environment, or what is installed.

    Raises:
        TokenNotFoundError: there is none; says what was tried.
    """
    if uri.module_path is not None:
        return _existing((uri.module_path,), uri, "module-path names no file")
    if uri.module_name is not None:
        return _existing(_files(uri.module_name), uri, f"no module named {uri.module_name}")
    for variable in MODULE_VARIABLES:
        if path := os.environ.get(variable):
            return _existing((path,), uri, f"{variable} names no file")
    tried = [path for name in _DEFAULTS for path in _files(name)]
    return _existing(tried, uri, "the URI names no PKCS#11 module and none was found")


def directories() -> tuple[Path, ...]:
    """Where Debian, OpenWrt, Yocto and p11-kit put modules, in the order they are searched."""
    triplet = sysconfig.get_config_var("MULTIARCH") or f"{os.uname().machine}-linux-gnu"
    roots = [Path("/usr/lib") / triplet, Path("/usr/lib64"), Path("/usr/lib"), Path("/usr/local/lib")]
    places = [root / folder for root in roots for folder in ("pkcs11", "", "softhsm")]
    return tuple(dict.fromkeys(places))


def _files(name: str) -> list[str]:
    names = (f"lib{name}.so", f"{name}.so", f"lib{name}.so.1", f"lib{name}.so.0")
    return [str(place / file) for place in directories() for file in names]


def _existing(paths: Iterable[str], uri: Pkcs11Uri, problem: str) -> str:
    tried = list(paths)
    hidden = ""
    for path in tried:
        try:
            if is_file(Path(path)):
                return path
        except KeyStoreError as error:  # closed to this user; the next place may be open
            hidden = f"; {error.message}"
    shown = tried if len(tried) == 1 else sorted({str(Path(path).parent) for path in tried})
    raise TokenNotFoundError(
        f"{problem}: tried {', '.join(shown)}{hidden}",
        hint="install the token's PKCS#11 module, or name it with ?module-path=/... in the URI or PKCS11_MODULE",
        uri=str(uri),
    )
