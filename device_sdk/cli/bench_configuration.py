"""The configuration file, as the operations of a bench use it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from device_sdk.cli import inputs
from device_sdk.cli.certificates_dir import given_environment, tell_keystores
from device_sdk.cli.output import Output
from device_sdk.cli.secrets import pin_provider
from device_sdk.cli.settings import CONFIG_FILE, MAX_CONFIG_BYTES, Settings, Source, read_config
from device_sdk.client.device.bench.configuration import BenchSettings, Configuration
from device_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from device_sdk.client.device import EnrolmentPlan
    from device_sdk.model.keys import KeyType

FLAGS = ("state_dir", "key.pin_file", "key.pin_fd", "key.allow_imported", "certificates_dir", "agent.commands")
"""The settings that an operation may be given by flag; the others are the configuration's."""


@dataclass(frozen=True)
class FileConfiguration(Configuration):
    """The file of --config or DEVICE_SDK_CONFIG, or /etc/device-sdk/config.toml.

    Attributes:
        options: the flags that were given; those of FLAGS count.
        out: who is told of waiting.
    """

    options: argparse.Namespace
    out: Output

    @property
    def file(self) -> Path:
        """Where it is."""
        named = getattr(self.options, "config", None) or os.environ.get("DEVICE_SDK_CONFIG")
        return Path(named).absolute() if named else CONFIG_FILE

    def check(self, config: bytes) -> Mapping[str, object]:
        """See Configuration.check."""
        return read_config(config, "the configuration")

    def state_dir(self, said: Mapping[str, object]) -> Path:
        """See Configuration.state_dir."""
        return Path(self._settings(said).require("state_dir"))

    def read(self, *, file: bool = True) -> BenchSettings:
        """See Configuration.read."""
        return _read(self._settings() if file else self._undamaged(), self.out)

    def known_state_dir(self) -> Path:
        """The state directory, though the configuration file may be damaged.

        Raises:
            ConfigurationError: that may have said another one than is known without it.
        """
        try:
            return self.read().state_dir
        except ConfigurationError as error:
            settings = self._undamaged()
            if settings.source("state_dir") is Source.DEFAULT and self._may_name_a_state_dir():
                raise ConfigurationError(
                    f"{error.message}; without it nobody knows where this device keeps its state, and whether it is enrolled",
                    hint="mend the file, or start the agent with --state DIR or --allow-enrolled",
                ) from error
            return Path(settings.require("state_dir"))

    def commands(self) -> tuple[str, ...]:
        """What the agent may run for a station, of the files that can be read."""
        try:
            settings = self._settings()
        except ConfigurationError:
            settings = self._undamaged()
        return settings.list("agent.commands")

    def _may_name_a_state_dir(self) -> bool:
        try:
            return any(
                b"state_dir" in file.read_bytes()[:MAX_CONFIG_BYTES]
                for file in (self.file, *(self.file.parent / "config.d").glob("*.toml"))
                if file.exists()
            )
        except OSError:
            return True

    def _settings(self, instead: Mapping[str, object] | None = None) -> Settings:
        given = {name: value for name, value in vars(self.options).items() if name in FLAGS}
        return Settings(
            argparse.Namespace(**given),
            given_environment(),
            config=str(self.file),
            may_be_missing=True,
            instead=instead,
        )

    def _undamaged(self) -> Settings:
        """Without the configuration file; without those of config.d, too, if one of them cannot be read."""
        try:
            return self._settings({})
        except ConfigurationError:
            return replace(self, options=argparse.Namespace(**vars(self.options) | {"config": os.devnull}))._settings(
                {}
            )


@dataclass(frozen=True)
class _Read(BenchSettings):
    settings: Settings = field(repr=False)
    out: Output = field(repr=False)

    def relayed_plan(self, key_uri: str, key_type: KeyType | None, *, again: bool) -> EnrolmentPlan:
        """See BenchSettings.relayed_plan."""
        from device_sdk.client.device import EnrolmentPlan

        settings = self.settings
        inputs.use_configured_anchors(settings)
        anchors, pins, implicit = inputs.trusted(settings, asking=False)
        if implicit:
            raise ConfigurationError(
                "the configuration trusts the operating system's anchors (est.implicit), which vouch for a connection, and "
                "there is none",
                hint="configure trust anchors, or a fingerprint (est.pins)",
            )
        return EnrolmentPlan(
            url=settings.require("est.url"),
            label=settings.text("est.label"),
            key_uri=key_uri,
            key_type=key_type,
            spec=inputs.csr_spec(settings),
            anchors=anchors,
            pins=pins,
            renewal_url=settings.text("renewal.url"),
            again=again,
            compatibility=inputs.compatibility(settings),
        )

    def own_plan(self) -> EnrolmentPlan:
        """See BenchSettings.own_plan."""
        from device_sdk.cli.commands.enroll import plan_without_questions

        return plan_without_questions(self.settings, self.out)


def _read(settings: Settings, out: Output) -> BenchSettings:
    tell_keystores(settings)
    return _Read(
        state_dir=Path(settings.require("state_dir")),
        identity=inputs.identity_sources(settings),
        key_uri=settings.text("key.uri"),
        pin=pin_provider(settings),
        allow_imported=settings.switch("key.allow_imported"),
        dialect=inputs.compatibility(settings).dialect,
        settings=settings,
        out=out,
    )


@contextmanager
def nobody_there() -> Iterator[None]:
    """Nobody is asked for PINs and passwords: the terminal is a station's line, and it would wait for ever."""
    before = sys.stdin
    with Path(os.devnull).open(encoding="ascii") as nothing:
        sys.stdin = nothing
        try:
            yield
        finally:
            sys.stdin = before
