"""The device's side of BenchDevice: what a station on a line can have it do, on its ordinary state directory and journal.

`DeviceBench(configuration)` has the operations of `device_sdk.client.bench.BenchDevice` by the same names, arguments and
results: `facts()`, `configure(config, anchors)`, `create_key(wish)`, `request(csrattrs)`, `install(answer,
ca_certificates)`, `enrol()`, `prove(nonce)`, `run(command, timeout_s)`. They raise DeviceSdkError; what carries them over a
line says so to the station (DeviceSaysError). `Configuration` is the device's configuration file as the command line reads
it: `device_sdk.cli.bench_configuration.FileConfiguration(options, out)` is one. JSON forms of arguments and results
are in `device_sdk.client.bench.plain`.

`create_key`, `request` and `install` are an ordinary enrolment (`client/device/enrol.py`), cut where the server is asked.
After a power cut the same calls come to the same key and certificate; `device-sdk enroll`, too, goes on with what they
began, and `renew` with what they finished.
"""

from __future__ import annotations

from device_sdk.client.device.bench.bench import DeviceBench
from device_sdk.client.device.bench.configuration import BenchSettings, Configuration

__all__ = ["BenchSettings", "Configuration", "DeviceBench"]
