"""What a device that is enrolled does about an entry of its package list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, unique

from cryptography import x509

from device_sdk.client.device.sync.deliveries import Deliveries
from device_sdk.client.device.sync.report import StepState
from device_sdk.protocols.est.urls import EstEndpoint, Operation
from device_sdk.protocols.pal import Action, SyncStep
from device_sdk.protocols.pal.concerns import is_key_establishment, names, suits


@unique
class Task(Enum):
    """What this version does; the value says it in words."""

    ANCHORS = "refresh the trust anchors"
    LISTS = "fetch the revocation lists, and keep them"
    PEERS = "fetch the certificates of peers, and keep them"
    RENEW = "renew the certificate in use"
    RESULT = "fetch what became of the renewal that is under way"
    SECOND = "get, or renew, the certificate for key establishment"
    SECOND_RESULT = "fetch what became of the request for key establishment that is under way"
    KEYS = "fetch symmetric keys, and store them"
    GENERATED = "get a key that the server generates, and store it"
    GENERATED_RENEWAL = "renew the certificate of a key that the server generated"
    FIRMWARE = "fetch firmware, and install it"
    MANAGE = "do what a message about trust anchors says, and answer it"
    RETURN = "send receipts or errors again"


@dataclass(frozen=True)
class Assignment:
    """What is to be done.

    Attributes:
        task: it, or None for nothing.
        state: PLANNED, SKIPPED, UNCONFIGURED or UNSUPPORTED.
        detail: the task, or why there is none.
    """

    task: Task | None
    state: StepState
    detail: str


_TASKS = {"0002": Task.ANCHORS, "0003": Task.PEERS, "0004": Task.LISTS, "0005": Task.LISTS}
_GENERATED = {"0020": Task.GENERATED, "0021": Task.GENERATED, "0022": Task.GENERATED, "0023": Task.RETURN}
_PACKAGES = _GENERATED | {"0024": Task.KEYS, "0025": Task.RETURN, "0026": Task.FIRMWARE, "0027": Task.RETURN}
_OTHER_USE = "the certificate in use is for something else"
_NO_RESULT = "this device waits for no such result"
_NO_SECOND = "this device has no certificate for key establishment"
_NO_PLACE = "say where the key of a certificate for key establishment is to be (key_establishment.key)"
_MANAGED = {f"{number:04}": Task.RETURN if number % 2 else Task.MANAGE for number in range(28, 38)}
_RENEWED = ("0011", "0012")
_NOBODY = "say who may manage trust anchors: device-sdk anchors import FILE --role apex"
_MISSING = {
    Operation.SERVERKEYGEN: "say where a key of the server's making goes (generated.key) and its certificate (generated.out)",
    Operation.SYMMETRIC_KEYS: "say where symmetric keys go (keys.to) and who may sign them (keys.anchors)",
    Operation.FIRMWARE: "say what takes firmware (firmware.installer or firmware.out), who may sign it (firmware.anchors), and "
    "what this hardware is (firmware.hardware_type)",
}


def assignment(
    step: SyncStep,
    certificate: x509.Certificate,
    endpoint: EstEndpoint,
    deliveries: Deliveries,
    *,
    managed: bool = False,
    second: x509.Certificate | None = None,
    generated: Sequence[x509.Certificate] = (),
) -> Assignment:
    """What to do about a step.

    Args:
        step: of the plan.
        certificate: the one in use.
        endpoint: the service.
        deliveries: what the device's owner wants of packages.
        managed: whether somebody may manage its trust anchors.
        second: the one for key establishment, if there is one beside the one in use.
        generated: those of keys that the server made.
    """
    number = step.kind.number
    if number in _TASKS:
        return _planned(_TASKS[number])
    if number in _PACKAGES:
        return _of_a_package(step, deliveries)
    if number in _MANAGED:
        return _planned(_MANAGED[number]) if managed else Assignment(None, StepState.UNCONFIGURED, _NOBODY)
    if step.kind.action is Action.REENROL and _is_generated(step, certificate, second, generated):
        return _planned(Task.GENERATED_RENEWAL)
    if is_key_establishment(step.kind) and not suits(step.kind, certificate):
        return _of_the_second(step, certificate, second, endpoint, deliveries)
    if step.kind.action is Action.PICK_UP:
        return _result(step, certificate, endpoint)
    if step.kind.action in (Action.ENROL, Action.REENROL):
        return _renewal(step, certificate)
    return Assignment(None, StepState.UNSUPPORTED, "this version has nothing for it")


def _is_generated(
    step: SyncStep,
    certificate: x509.Certificate,
    second: x509.Certificate | None,
    generated: Sequence[x509.Certificate],
) -> bool:
    """Whether an entry names the certificate of a key that the server made; subjects may be those of the others, too."""
    name = step.entry.certificate
    if name is None or names(name, certificate) or (second is not None and names(name, second)):
        return False
    return any(names(name, one) for one in generated)


def _of_a_package(step: SyncStep, deliveries: Deliveries) -> Assignment:
    operation = step.kind.operations[0]
    if deliveries.of(operation) is None:
        return Assignment(None, StepState.UNCONFIGURED, _MISSING[operation])
    return _planned(_PACKAGES[step.kind.number])


def _of_the_second(
    step: SyncStep,
    certificate: x509.Certificate,
    second: x509.Certificate | None,
    endpoint: EstEndpoint,
    deliveries: Deliveries,
) -> Assignment:
    """What there is to do about the certificate for key establishment, which may not be there yet (N-01, N-03)."""
    name = step.entry.certificate
    if step.kind.action is Action.PICK_UP:
        began = Operation.SIMPLE_ENROLL if second is None else Operation.SIMPLE_REENROLL
        configured = second is not None or deliveries.key_establishment is not None
        ours = configured and any(endpoint.is_at(one, step.target) for one in (began, Operation.FULLCMC))
        return _planned(Task.SECOND_RESULT) if ours else _skipped(_NO_RESULT)
    if second is None and step.kind.action is Action.REENROL:
        return _skipped(_NO_SECOND)
    if name is not None and not names(name, second or certificate):
        return _skipped("it names another certificate than the one in use")
    if second is None and deliveries.key_establishment is None:
        return Assignment(None, StepState.UNCONFIGURED, _NO_PLACE)
    return _planned(Task.SECOND)


def _renewal(step: SyncStep, certificate: x509.Certificate) -> Assignment:
    name = step.entry.certificate
    if name is not None:
        return (
            _planned(Task.RENEW)
            if names(name, certificate)
            else _skipped("it names another certificate than the one in use")
        )
    if not suits(step.kind, certificate):
        return _skipped(_OTHER_USE)
    return _planned(Task.RENEW)


def _result(step: SyncStep, certificate: x509.Certificate, endpoint: EstEndpoint) -> Assignment:
    """The journal decides whether anything is under way; here it is about renewals of the certificate in use."""
    if not suits(step.kind, certificate):
        return _skipped(_OTHER_USE)
    renewal = endpoint.is_at(Operation.FULLCMC, step.target) and step.kind.number in _RENEWED
    if renewal or endpoint.is_at(Operation.SIMPLE_REENROLL, step.target):
        return _planned(Task.RESULT)
    return _skipped(
        "this device has its certificate; an enrolment anew is finished by the command that began it, or by its result (enroll --result)"
    )


def _planned(task: Task) -> Assignment:
    return Assignment(task, StepState.PLANNED, task.value)


def _skipped(why: str) -> Assignment:
    return Assignment(None, StepState.SKIPPED, why)
