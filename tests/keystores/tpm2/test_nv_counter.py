"""Anti-rollback: the record of installed firmware is bound to a counter in the TPM, which a restored copy does not change (F-10)."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk_simulators.packages.firmware.notes import Notes
from device_sdk_simulators.swtpm import Swtpm

from device_sdk.client.firmware import FileInstaller, FirmwarePolicy, FirmwareRules, HardwareModule, RecordFile
from device_sdk.client.firmware.loading import Loading, load
from device_sdk.errors import (
    ConfigurationError,
    DeviceSdkError,
    FirmwareError,
    KeyExistsError,
    KeyStoreError,
    PinIncorrectError,
    RolledBackError,
    UriError,
)
from device_sdk.keystores.registry import list_keys, open_counter, open_key
from device_sdk.protocols.firmware import FirmwareRecord, InstalledPackage, encode_record
from device_sdk.wire.firmware import LoadErrorCode, PreferredName
from tests.firmware.making import HARDWARE, IMAGE, NOW, PACKAGE, Maker
from tests.keystores.tpm2.conftest import Wire
from tests.keystores.tpm2.test_secret_keys import pin

NV = "tpm2:nv=0x01800100"


def named(version: int) -> FirmwareRecord:
    return FirmwareRecord((InstalledPackage(PreferredName(PACKAGE, version)),))


def version_in(record: FirmwareRecord) -> int:
    (one,) = record.installed
    assert isinstance(one.name, PreferredName)
    return one.name.version


@pytest.fixture(scope="session")
def maker() -> Maker:
    return Maker()


@pytest.fixture
def record(swtpm: Swtpm, tmp_path: Path) -> RecordFile:
    return RecordFile(tmp_path / "record", open_counter(NV))


def generation(path: Path) -> int:
    return int(json.loads(path.read_text())["bound"]["generation"])


def test_f_10_a_restored_record(record: RecordFile, tmp_path: Path) -> None:
    """Yesterday's copy is refused, whatever it says; the newest is good, however often it is read."""
    assert record.load() == FirmwareRecord()
    record.save(named(4))
    yesterday = (tmp_path / "record").read_bytes()
    record.save(named(5))
    assert version_in(record.load()) == version_in(record.load()) == 5
    newest = (tmp_path / "record").read_bytes()
    assert open_counter(NV).value() == generation(tmp_path / "record")
    (tmp_path / "record").write_bytes(yesterday)
    with pytest.raises(RolledBackError, match="of generation 2, and the counter is at 3") as caught:
        record.load()
    assert caught.value.exit_code == 9
    (tmp_path / "record").write_bytes(encode_record(named(9)))
    with pytest.raises(RolledBackError, match="has no generation"):
        record.load()
    (tmp_path / "record").unlink()
    with pytest.raises(RolledBackError, match="the record is missing"):
        record.load()
    (tmp_path / "record").write_bytes(newest)
    assert version_in(record.load()) == 5


@pytest.mark.slow
def test_f_10_a_changed_record(record: RecordFile, tmp_path: Path, new_tpm: Path) -> None:
    """The generation alone proves nothing: a MAC by a key of this very TPM is over all of it."""
    record.save(named(4))
    record.save(named(5))
    path = tmp_path / "record"
    whole = path.read_text()
    for old, new in (
        ('"version": 5', '"version": 4'),
        ('"generation": 3', '"generation": 4'),
        ('"stale": {}', '"stale": {"1.2.3": 0}'),
        ('"mac": "', '"mac": "00'),
    ):
        assert old in whole
        path.write_text(whole.replace(old, new))
        with pytest.raises(RolledBackError, match="somebody else changed it"):
            record.load()
    other = json.loads(whole)
    with Swtpm(tmp_path / "other") as stranger:
        other["bound"]["key"] = open_counter(f"{NV}?tcti={stranger.tcti}").new_key()
    path.write_text(json.dumps(other))
    with pytest.raises(RolledBackError, match="not one of this hardware"):
        record.load()
    other["bound"]["key"] = "nonsense"
    path.write_text(json.dumps(other))
    with pytest.raises(RolledBackError):
        record.load()
    path.write_text(whole)
    assert version_in(record.load()) == 5
    with pytest.raises(ConfigurationError, match="bound to a counter"):
        RecordFile(path).load()


def test_f_10_a_key_that_the_tpm_did_not_make(record: RecordFile, tmp_path: Path, tools: Callable[..., str]) -> None:
    """A key for MACs that was imported is one that somebody knows."""
    from device_sdk.wire.tss2_key import Tss2Key

    record.save(named(4))
    (tmp_path / "hmac").write_bytes(bytes(32))
    tools(
        "tpm2_createprimary", "-C", "o", "-G", "ecc", "-g", "sha256", "-c", "srk.ctx",
        "-a", "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt",
    )  # fmt: skip
    tools("tpm2_flushcontext", "-t")
    tools("tpm2_import", "-C", "srk.ctx", "-G", "hmac", "-i", "hmac", "-u", "public", "-r", "private")
    tools("tpm2_flushcontext", "-t")
    key = Tss2Key((tmp_path / "public").read_bytes(), (tmp_path / "private").read_bytes(), empty_auth=True)
    data = json.loads((tmp_path / "record").read_text())
    data["bound"]["key"] = key.to_pem().decode()
    (tmp_path / "record").write_text(json.dumps(data))
    with pytest.raises(RolledBackError, match="not one of this hardware"):
        record.load()


def test_the_index_is_gone(record: RecordFile, tmp_path: Path, tools: Callable[..., str]) -> None:
    """The owner can remove it, which is seen; made anew it starts above what it was, so that no old record fits again."""
    for version in (4, 5, 6):
        record.save(named(version))
    said = tools("tpm2_nvreadpublic", "0x01800100")
    assert "friendly: authwrite|nt=0x1|ownerread|authread|no_da|written" in said, said
    assert tools("tpm2_nvread", "0x01800100", "-o", "value") == ""
    assert int.from_bytes((tmp_path / "value").read_bytes(), "big") == 4
    tools("tpm2_nvwrite", "0x01800100", "-i", "record", fails=True)
    tools("tpm2_nvundefine", "0x01800100", "-C", "o")
    with pytest.raises(RolledBackError, match="the counter is gone"):
        record.load()
    tools("tpm2_nvdefine", "0x01800100", "-C", "o", "-s", "8", "-a", "nt=counter|authwrite|authread|ownerread|no_da")
    with pytest.raises(RolledBackError, match="of generation 4, and the counter is at 5"):
        record.load()


def test_the_owner_made_it(swtpm: Swtpm, tmp_path: Path, tools: Callable[..., str]) -> None:
    """Where the owner hierarchy has an authorisation value the error says how, and then it works; so does a PIN."""
    record = RecordFile(tmp_path / "record", open_counter(f"{NV}?pin-source={pin(tmp_path)}"))
    tools(
        "tpm2_createprimary", "-C", "o", "-G", "ecc", "-g", "sha256", "-c", "srk.ctx",
        "-a", "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt",
    )  # fmt: skip
    tools("tpm2_evictcontrol", "-C", "o", "-c", "srk.ctx", "0x81000001")
    tools("tpm2_flushcontext", "-t")
    tools("tpm2_changeauth", "-c", "owner", "ownerauth")
    with pytest.raises(KeyStoreError, match="there is no counter") as caught:
        record.save(named(1))
    assert not (tmp_path / "record").exists()
    words = (caught.value.hint or "").partition(": ")[2].replace("OWNERAUTH", "ownerauth").replace("INDEXAUTH", "1234")
    tools(*(word.strip('"') for word in words.split()))
    record.load()
    record.save(named(1))
    record.save(named(2))
    assert version_in(record.load()) == 2
    with pytest.raises(PinIncorrectError):
        open_counter(f"{NV}?pin-source={pin(tmp_path, 'wrong')}").advance(99)
    with pytest.raises(PinIncorrectError):
        open_counter(NV).value()


def test_names_of_counters(swtpm: Swtpm, tools: Callable[..., str]) -> None:
    for uri in ("tpm2:", "tpm2:handle=0x81000010", "pkcs11:token=x", "file:/x"):
        with pytest.raises(UriError, match="names no counter"):
            open_counter(uri)
    for use in (list_keys, open_key):
        with pytest.raises(UriError, match="names no single key"):
            use(NV)
    tools("tpm2_nvdefine", "0x01800100", "-C", "o", "-s", "8")
    with pytest.raises(KeyExistsError, match="something else than such a counter"):
        open_counter(NV).value()


def test_no_pin_on_the_wire(wire: Wire, tmp_path: Path) -> None:
    sent: list[bytes] = []
    wire.script = sent.append
    record = RecordFile(
        tmp_path / "record", open_counter(f"{NV}?tcti={wire.tcti}&pin-source={pin(tmp_path, 'long-pin')}")
    )
    record.save(named(1))
    assert version_in(record.load()) == 1
    assert b"long-pin" not in b"".join(sent)


@pytest.mark.slow
def test_f_10_cut_at_every_command(wire: Wire, tmp_path: Path, tools: Callable[..., str]) -> None:
    """From nothing to a second save: the power fails before or after each command; the next run finds the old record or
    the new one, finishes, and goes on. No cut makes a record that is refused."""
    path, uri = tmp_path / "record", f"{NV}?tcti={wire.tcti}"

    def saved() -> None:
        record = RecordFile(path, open_counter(uri))
        for version in (1, 2):
            record.load()
            record.save(named(version))

    wire.seen.clear()
    saved()
    steps = len(wire.seen)
    assert steps > 30
    # reading, and keys that are thrown away, change nothing: it is the commands that write which matter
    writing = [number for number, code in enumerate(wire.seen[:steps]) if code in WRITES]
    assert len(writing) == 6
    for how in ("cut", "cut after"):
        for at in writing:
            tools("tpm2_nvundefine", "0x01800100", "-C", "o")
            path.unlink(missing_ok=True)
            seen = [0]

            def script(_: bytes, at: int = at, how: str = how, seen: list[int] = seen) -> object:
                seen[0] += 1
                if seen[0] - 1 == at:
                    return how
                return "cut" if seen[0] > at else None

            wire.script = script
            with pytest.raises(DeviceSdkError):
                saved()
            wire.script = lambda _: None
            record = RecordFile(path, open_counter(uri))
            there = record.load()
            assert not there.installed or version_in(there) in (1, 2), (how, at)
            record.save(named(3))
            assert version_in(RecordFile(path, open_counter(uri)).load()) == 3


WRITES = {0x12A, 0x122, 0x134}  # TPM2_NV_DefineSpace, NV_UndefineSpace, NV_Increment


FULL = """
import resource, signal, sys
from device_sdk.client.firmware import RecordFile
from device_sdk.errors import StateNotWritableError
from device_sdk.keystores.registry import open_counter
from device_sdk.protocols.firmware import FirmwareRecord

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
record = RecordFile(sys.argv[1], open_counter("tpm2:nv=0x01800100"))
record.load()
resource.setrlimit(resource.RLIMIT_FSIZE, (80, 80))
try:
    record.save(FirmwareRecord())
except StateNotWritableError:
    print("full")
"""


@pytest.mark.slow
def test_a_full_disk(record: RecordFile, tmp_path: Path) -> None:
    """What cannot be written does not count: the old record is still the newest."""
    record.save(named(1))
    before = open_counter(NV).value()
    words = [sys.executable, "-c", FULL, str(tmp_path / "record")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout == "full\n", done.stderr
    assert open_counter(NV).value() == before
    assert version_in(record.load()) == 1


def install(package: bytes, maker: Maker, directory: Path) -> None:
    rules = FirmwareRules(maker.anchors, FirmwarePolicy(HardwareModule(HARDWARE, b"\1")))
    record = RecordFile(directory / "record", open_counter(NV))
    load(io.BytesIO(package), rules, FileInstaller(directory / "image"), record, NOW, Loading())


def test_f_10_old_firmware_with_an_old_record(swtpm: Swtpm, maker: Maker, tmp_path: Path) -> None:
    """The attack itself: image and record of last week are restored, and last week's package is offered again."""
    old, new = (maker.make(notes=Notes((PACKAGE, number), (HARDWARE,))) for number in (4, 5))
    install(old, maker, tmp_path)
    (tmp_path / "saved").mkdir()
    for name in ("image", "record"):
        shutil.copy(tmp_path / name, tmp_path / "saved" / name)
    install(new, maker, tmp_path)
    with pytest.raises(FirmwareError, match="is older than version 5") as caught:
        install(old, maker, tmp_path)
    assert caught.value.load_error == LoadErrorCode.STALE_PACKAGE
    shutil.copy(tmp_path / "saved" / "record", tmp_path / "record")
    for package in (old, new):
        with pytest.raises(RolledBackError):
            install(package, maker, tmp_path)


KILLED = """
import datetime, os, signal, sys
from cryptography import x509
from device_sdk.client.firmware import FileInstaller, FirmwarePolicy, FirmwareRules, HardwareModule, RecordFile
from device_sdk.client.firmware.loading import Loading, load
from device_sdk.keystores.registry import open_counter
from device_sdk.keystores.tpm2.nv_counter import TpmCounter

directory, left = sys.argv[1], 0

def step():
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)

for name in ("prepare", "advance", "mac"):
    def around(self, *words, plain=getattr(TpmCounter, name)):
        step()
        found = plain(self, *words)
        step()
        return found
    setattr(TpmCounter, name, around)

anchors = x509.load_pem_x509_certificates(open(directory + "/anchors.pem", "rb").read())
rules = FirmwareRules(anchors, FirmwarePolicy(HardwareModule("1.3.6.1.4.1.32473.1", b"\\1")))
when = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)
for run in range(1, 99):
    child = os.fork()
    if not child:
        left = run
        with open(directory + "/package", "rb") as package:
            record = RecordFile(directory + "/record", open_counter("tpm2:nv=0x01800100"))
            load(package, rules, FileInstaller(directory + "/image"), record, when, Loading())
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if status != signal.SIGKILL:
        print(run, status)
        break
"""


@pytest.mark.slow
def test_f_10_killed_while_it_is_installed(swtpm: Swtpm, maker: Maker, tmp_path: Path) -> None:
    """SIGKILL before and after every use of the counter: the next run goes on, up to one that nobody kills."""
    (tmp_path / "anchors.pem").write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in maker.anchors))
    (tmp_path / "package").write_bytes(maker.make())
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    runs, status = map(int, done.stdout.split())
    assert status == 0, done.stderr
    assert runs > 6
    assert (tmp_path / "image").read_bytes() == IMAGE
    record = RecordFile(tmp_path / "record", open_counter(NV))
    assert version_in(record.load()) == 4
