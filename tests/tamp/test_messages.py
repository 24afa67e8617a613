"""Messages to a store, and its answers, which a foreign reader reads (RFC 5934 section 4; T-15, TR-04)."""

from __future__ import annotations

from pathlib import Path

from device_sdk.wire.cms.reader import PlainReader
from device_sdk.wire.cms.signed_data import read_signed_data
from device_sdk.wire.tamp.anchors import AnchorFormat, read_anchors
from device_sdk.wire.tamp.query import read_status_response
from device_sdk.wire.tamp.targets import AllModules
from device_sdk.wire.tamp.update import Remove, read_update
from tests.tamp import making
from tests.tamp.conftest import Bench
from tests.tamp.making import add, authority, certificate, change, info, may_sign, remove

VECTORS = Path(__file__).parents[1] / "vectors" / "tamp"


def test_t_15_t_16_the_authors_samples() -> None:
    response = read_signed_data((VECTORS / "status-response.der").read_bytes()).content
    found = read_status_response(response)
    assert (len(found.anchors), found.apex, found.reference.number) == (3, False, 1568307071)
    assert found.encode() == response
    update = read_update(read_signed_data((VECTORS / "update.der").read_bytes()).content)
    assert isinstance(update.updates[0], Remove)
    assert (update.reference.target, update.reference.number, update.terse) == (AllModules(), 1568307088, False)
    listed = PlainReader((VECTORS / "anchor-list.der").read_bytes()).enter()
    listed.oid()
    anchors = read_anchors(listed.enter(0xA0).enter())
    assert [one.form for one in anchors] == [AnchorFormat.TBS, AnchorFormat.CERTIFICATE, AnchorFormat.INFO]
    assert (anchors[2].title, anchors[2].language) == ("DigiCert Trust Anchor", "en")


def test_t_15_status_terse_and_verbose(bench: Bench) -> None:
    terse = bench.answer(bench.apex.query(terse=True))["response"]["terseResponse"]
    ids = [making.key_identifier(one.certificate) for one in (bench.people.apex, bench.people.management)]
    assert [one.asOctets() for one in terse["taKeyIds"]][:2] == ids
    assert [str(one) for one in terse["communities"]] == [making.COMMUNITY]
    answer = bench.answer(bench.apex.query())
    verbose = answer["response"]["verboseResponse"]
    assert [one.getName() for one in verbose["taInfo"]] == ["taInfo", "certificate", "certificate", "certificate"]
    assert [int(one["seqNumber"]) for one in verbose["tampSeqNumbers"]] == [2, 0, 0]
    assert (bool(answer["usesApex"]), int(answer["query"]["seqNum"])) == (True, 2)
    assert bench.number(bench.people.apex) == 2


def test_t_08_each_update_on_its_own(bench: Bench) -> None:
    new, manager = authority("New"), authority("New manager", None, may_sign(making.FIRMWARE))
    done = bench.do(
        bench.apex.update(
            add(certificate(new)),
            add(making.tbs(authority("Unsigned"))),
            remove(bench.people.apex),
            add(info(manager, "a manager")),
            remove(bench.people.limited),
            remove(authority("Nobody")),
            change(authority("Nobody")),
        )
    )
    assert [one.name for one in done.statuses] == [
        "SUCCESS",
        "UNSUPPORTED_TRUST_ANCHOR_FORMAT",
        "APEX_TAMP_ANCHOR",
        "SUCCESS",
        "SUCCESS",
        "SUCCESS",
        "TRUST_ANCHOR_NOT_FOUND",
    ]
    assert [bench.find(one) is not None for one in (new, manager, bench.people.limited, bench.people.apex)] == [
        *(True, True, False, True)
    ]
    assert bench.number(bench.people.apex) == 1
