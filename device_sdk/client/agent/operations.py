"""Operations by name: params to arguments, results to data (docs/serial-protocol.md section 5)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

from device_sdk.client.bench.facts import BenchKey, DeviceFacts, KeyWish, Proof
from device_sdk.client.bench.plain import facts_to_json, key_to_json, proof_to_json, wish_from_json
from device_sdk.errors import LineError, WireError

MAX_CONFIG_BYTES, MAX_ANCHORS_BYTES = 64 * 1024, 256 * 1024
NONCE_BYTES = 32
_MAX_WORDS, _MAX_WORD = 32, 1024
MAX_TIMEOUT_S = 3600

Call: TypeAlias = Callable[[], dict[str, Any]]


class Operations(Protocol):
    """The device's side of BenchDevice; all of it raises DeviceSdkError and nothing else."""

    def facts(self) -> DeviceFacts:
        """See BenchDevice.facts."""

    def configure(self, config: bytes, anchors: bytes) -> None:
        """See BenchDevice.configure."""

    def create_key(self, wish: KeyWish) -> BenchKey:
        """See BenchDevice.create_key."""

    def request(self, csrattrs: bytes = b"") -> bytes:
        """See BenchDevice.request."""

    def install(self, answer: bytes, ca_certificates: bytes) -> bytes:
        """See BenchDevice.install."""

    def enrol(self) -> bytes:
        """See BenchDevice.enrol."""

    def prove(self, nonce: bytes) -> Proof:
        """See BenchDevice.prove."""

    def run(self, command: tuple[str, ...], timeout_s: float) -> tuple[int, str]:
        """See BenchDevice.run."""


def command_of(params: Mapping[str, Any]) -> tuple[str, ...]:
    """The command of `run`.

    Raises:
        WireError: there is none, or it is too long.
    """
    words = params.get("command")
    if not isinstance(words, list) or not 0 < len(words) <= _MAX_WORDS:
        raise _wrong("command")
    if not all(isinstance(word, str) and word.isprintable() and len(word) <= _MAX_WORD for word in words):
        raise _wrong("command")
    return tuple(words)


def prepare(device: Operations, name: str, params: Mapping[str, Any]) -> Call | None:
    """What is to be called for an operation; None if there is no such operation.

    Raises:
        WireError: its params are not what they should be.
    """
    known = _OPERATIONS.get(name)
    if known is None:
        return None
    required, optional, make = known
    for one in params:
        if one not in required + optional:
            raise WireError(f"message: {name} has no param {one[:64]!r}", what="message")
    for one in required:
        if one not in params:
            raise _wrong(one)
    return make(device, params)


def _facts(device: Operations, _: Mapping[str, Any]) -> Call:
    return lambda: facts_to_json(device.facts())


def _configure(device: Operations, params: Mapping[str, Any]) -> Call:
    config, anchors = _octets(params, "config", MAX_CONFIG_BYTES), _octets(params, "anchors", MAX_ANCHORS_BYTES)

    def call() -> dict[str, Any]:
        device.configure(config, anchors)
        return {}

    return call


def _create_key(device: Operations, params: Mapping[str, Any]) -> Call:
    try:
        wish = wish_from_json(params)
    except LineError as error:
        raise WireError(f"message: {error.message}", what="message") from error
    return lambda: key_to_json(device.create_key(wish))


def _request(device: Operations, params: Mapping[str, Any]) -> Call:
    csrattrs = _octets(params, "csrattrs")
    return lambda: {"csr": _text(device.request(csrattrs))}


def _install(device: Operations, params: Mapping[str, Any]) -> Call:
    answer, ca_certificates = _octets(params, "answer"), _octets(params, "ca_certificates")
    return lambda: {"certificate": device.install(answer, ca_certificates).hex()}


def _enrol(device: Operations, _: Mapping[str, Any]) -> Call:
    return lambda: {"certificate": device.enrol().hex()}


def _prove(device: Operations, params: Mapping[str, Any]) -> Call:
    nonce = _octets(params, "nonce", NONCE_BYTES)
    if len(nonce) != NONCE_BYTES:
        raise _wrong("nonce")
    return lambda: proof_to_json(device.prove(nonce))


def _run(device: Operations, params: Mapping[str, Any]) -> Call:
    command, timeout = command_of(params), params["timeout"]
    if type(timeout) is not int or not 1 <= timeout <= MAX_TIMEOUT_S:
        raise _wrong("timeout")

    def call() -> dict[str, Any]:
        status, output = device.run(command, timeout)
        return {"status": status, "output": output}

    return call


_Names: TypeAlias = tuple[str, ...]
_Maker: TypeAlias = Callable[[Operations, Mapping[str, Any]], Call]
# name: params that have to be there, params that may be, what makes a call of them
_OPERATIONS: dict[str, tuple[_Names, _Names, _Maker]] = {
    "facts": ((), (), _facts),
    "configure": (("config", "anchors"), (), _configure),
    "create-key": (("uri", "type", "file_allowed"), ("again",), _create_key),
    "request": (("csrattrs",), (), _request),
    "install": (("answer", "ca_certificates"), (), _install),
    "enrol": ((), (), _enrol),
    "prove": (("nonce",), (), _prove),
    "run": (("command", "timeout"), (), _run),
}


def _octets(params: Mapping[str, Any], name: str, limit: int | None = None) -> bytes:
    value = params[name]
    if not isinstance(value, str):
        raise _wrong(name)
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise _wrong(name) from exc
    if limit is not None and len(data) > limit:
        raise WireError(f"message: {name} has {len(data)} octets, the limit is {limit}", what="message")
    return data


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _wrong(name: str) -> WireError:
    return WireError(f"message: the param {name} is missing, or not what it should be", what="message")
