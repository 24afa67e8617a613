"""What the operations of a bench need of the device's configuration, which is the command line's to read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from device_sdk.identity import IdentitySources
from device_sdk.model.compatibility import Dialect
from device_sdk.model.secret import SecretProvider

if TYPE_CHECKING:
    from device_sdk.client.device.plan import EnrolmentPlan
    from device_sdk.model.keys import KeyType


@dataclass(frozen=True)
class BenchSettings(ABC):
    """The settings of one moment.

    Attributes:
        state_dir: the state directory.
        identity: where the device's serial number and other attributes come from.
        key_uri: the key of its configuration, or None.
        pin: asked for PINs; asks no person.
        allow_imported: whether the device may have a key that was put into its hardware from outside.
        dialect: how its EST service spells the operations.
    """

    state_dir: Path
    identity: IdentitySources
    key_uri: str | None
    pin: SecretProvider | None
    allow_imported: bool
    dialect: Dialect

    @abstractmethod
    def relayed_plan(self, key_uri: str, key_type: KeyType | None, *, again: bool) -> EnrolmentPlan:
        """An enrolment whose requests and answers are carried by others.

        Raises:
            ConfigurationError: the configuration does not say where to enrol, as whom, or whom to trust: by anchors or
                fingerprints.
        """

    @abstractmethod
    def own_plan(self) -> EnrolmentPlan:
        """An enrolment over the device's own network, as `device-sdk enroll` does; nobody is asked anything.

        Raises:
            ConfigurationError: something it needs is not set.
        """


class Configuration(ABC):
    """The device's configuration file."""

    @property
    @abstractmethod
    def file(self) -> Path:
        """Where it is."""

    @abstractmethod
    def check(self, config: bytes) -> Mapping[str, object]:
        """What the settings of a configuration file are, by name, without using it.

        Raises:
            ConfigurationError: it is no TOML, or has a setting that is none, or a value of the wrong kind.
        """

    @abstractmethod
    def state_dir(self, said: Mapping[str, object]) -> Path:
        """The state directory once these settings are in the file: flags and the environment count more."""

    @abstractmethod
    def read(self, *, file: bool = True) -> BenchSettings:
        """The settings as they are now.

        Args:
            file: whether what is in the file counts; without it flags and the environment do.

        Raises:
            ConfigurationError: they cannot be read.
        """
