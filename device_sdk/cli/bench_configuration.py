"""The configuration file, as the operations of a bench use it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from device_sdk.cli import inputs
from device_sdk.cli.files import read_file
from device_sdk.cli.output import Output
from device_sdk.cli.secrets import pin_provider
from device_sdk.cli.settings import CONFIG_FILE, Settings, Source, read_config
from device_sdk.client.device.bench.configuration import BenchSettings, Configuration
from device_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from device_sdk.client.device import EnrolmentPlan
    from device_sdk.model.keys import KeyType

FLAGS = ("state_dir", "key.pin_file", "key.pin_fd", "key.allow_imported")
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
        settings, values = self._settings(file=False), dict(said)
        if settings.source("state_dir") > Source.FILE:
            return Path(settings.require("state_dir"))
        for extra in sorted((self.file.parent / "config.d").glob("*.toml")):
            values |= read_config(read_file(str(extra)), str(extra))
        return Path(str(values.get("state_dir") or settings.require("state_dir")))

    def read(self, *, file: bool = True) -> BenchSettings:
        """See Configuration.read."""
        return _read(self._settings(file=file), self.out)

    def _settings(self, *, file: bool) -> Settings:
        given = {name: value for name, value in vars(self.options).items() if name in FLAGS}
        there = file and self.file.exists()
        return Settings(argparse.Namespace(**given), config=str(self.file) if there else os.devnull)


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
