"""The device driver: enrol, renew, and say when; `Device` is where to start."""

from device_sdk.client.device.decision import DEFAULT_THRESHOLD
from device_sdk.client.device.device import Device
from device_sdk.client.device.plan import EnrolmentPlan, Outcome, RenewalDecision, RenewalPlan
from device_sdk.client.device.status import DeviceStatus

__all__ = [
    "DEFAULT_THRESHOLD",
    "Device",
    "DeviceStatus",
    "EnrolmentPlan",
    "Outcome",
    "RenewalDecision",
    "RenewalPlan",
]
