"""What an observer of an edge device sees of answers to clients and of decoys to strangers, and whether these differ."""

from __future__ import annotations

import base64
import random
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from device_sdk_simulators.http.messages import Request, Response, TlsFacts
from device_sdk_simulators.server import ReferenceServer
from pyasn1.codec.ber.decoder import decode
from pyasn1_alt_modules import rfc5652

from tests.cale_security.questions import quiet
from tests.cale_security.ranks import (
    Separation,
    Shift,
    aligned,
    chi_square_deviations,
    kolmogorov_smirnov,
    same_proportions,
    separation,
    shift,
)

SUITE = TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384")
SIDES = ("client", "stranger")
_OID, _PRIMITIVE = 0x06, 0x20

Handle = Callable[[Request], Response]
Features = Mapping[str, object]


def features_of(response: Response) -> Features:
    """What there is to be seen of one answer."""
    return {
        "status": response.status,
        "header fields and their order": tuple(response.headers),
        "length of the body": len(response.body),
        "form of the lines": _lines(response.body),
        "first bytes": _first_bytes(response.body),
        "shape": shape_of(response.body),
    }


def _lines(body: bytes) -> tuple[object, ...]:
    lines = body.split(b"\n")
    return (len(lines), len(lines[0]), body[-1:], len(lines[-2]) if len(lines) > 1 else 0)


def _first_bytes(body: bytes) -> bytes:
    return body[:24]


def shape_of(body: bytes) -> object:
    """Tags, lengths and object identifiers of a message, its small integers and names; the random parts by length only."""
    try:
        message = base64.b64decode(body, validate=False)
        decode(message, asn1Spec=rfc5652.ContentInfo())
        return tuple(_walk(message))
    except Exception as error:  # noqa: BLE001  # whatever it is: not a message
        return type(error).__name__


def _walk(data: bytes) -> list[object]:
    found: list[object] = []
    at = 0
    while at < len(data):
        tag, length, start = data[at], data[at + 1], at + 2
        if length & 0x80:
            start += length & 0x7F
            length = int.from_bytes(data[at + 2 : start], "big")
        content = data[start : start + length]
        if tag & _PRIMITIVE:
            found.append((tag, _walk(content)))
        elif tag == _OID or length < 3 or tag in (0x0C, 0x13):
            found.append((tag, content))
        else:
            found.append((tag, length))
        at = start + length
    return [str(found)] if len(data) > 200 else found


@dataclass(frozen=True)
class Verdict:
    """How far clients and strangers can be told apart.

    Attributes:
        proportions: for each feature, standard deviations by which its values differ in frequency.
        alone: for each feature, the share of strangers with a value that no client has.
        later: of the time of a decoy, microseconds.
        guessed: by time alone.
        probability: Kolmogorov and Smirnov's, of the times.
        typical: median time, microseconds.
        count: answers a side.
    """

    proportions: Mapping[str, float]
    alone: Mapping[str, float]
    later: Shift
    guessed: Separation
    probability: float
    typical: float
    count: int

    def __str__(self) -> str:
        worst = max(self.proportions.values(), default=0.0)
        alone = max(self.alone.values())
        return (
            f"{self.count} a side; features differ by {worst:.1f} sd, values of decoys alone {alone:.1%};"
            f" time {self.later.middle:+.0f} us ({self.later.low:+.0f} to {self.later.high:+.0f}) of {self.typical:.0f},"
            f" would be seen {self.later.limit:.0f} us = {self.later.limit / self.typical:.1%};"
            f" guessed by time {self.guessed.accuracy:.1%} ({self.guessed.deviations:+.1f} sd); KS p {self.probability:.2g}"
        )


@dataclass(frozen=True)
class Sample:
    """Answers and decoys.

    Attributes:
        rounds: microseconds by side and number; each round has two of each side.
        decoys: in the order in which they came.
        features: of the answers to each side.
    """

    rounds: Sequence[Mapping[str, float]]
    decoys: Sequence[Response]
    features: Mapping[str, Sequence[Features]]

    def disguised(self, disguise: Callable[[Response], Response]) -> Sample:
        """The sample as it were if a worse server had made these decoys."""
        clients, strangers = (self.features[side] for side in SIDES)
        worse = [disguise(one) for one in self.decoys]
        seen = [
            known if new is old else features_of(new)
            for old, new, known in zip(self.decoys, worse, strangers, strict=True)
        ]
        return Sample(self.rounds, worse, dict(zip(SIDES, (clients, seen), strict=True)))

    def verdict(self) -> Verdict:
        """Look for a difference."""
        chosen = quiet(self.rounds)
        values = aligned(chosen)
        times = [[value for name, some in values.items() if name.startswith(side) for value in some] for side in SIDES]
        everything = sorted(value for one in chosen for value in one.values())
        return Verdict(
            *self._told(),
            shift(*times),
            separation(*times),
            kolmogorov_smirnov(*times)[1],
            everything[len(everything) // 2],
            len(self.decoys),
        )

    def _told(self) -> tuple[dict[str, float], dict[str, float]]:
        proportions, alone = {}, {}
        for name in self.features[SIDES[0]][0]:
            clients, strangers = (Counter(one[name] for one in self.features[side]) for side in SIDES)
            proportions[name] = chi_square_deviations(*same_proportions([clients, strangers]))
            alone[name] = sum(seen for value, seen in strangers.items() if value not in clients) / len(self.decoys)
        return proportions, alone


def collect(handle: Handle, clients: Sequence[str], path: str, count: int, *, warm_up: int = 70) -> Sample:
    """Ask for a path as clients and as strangers in turn.

    Args:
        handle: the edge device.
        clients: GUIDs of registrations.
        path: what is asked for.
        count: requests of each side; each stranger asks once.
        warm_up: requests of clients before, from which the edge device learns.
    """
    chance = random.Random(count)  # noqa: S311  # an order, no secret
    seen: dict[str, list[Response]] = {side: [] for side in SIDES}
    rounds: list[dict[str, float]] = []
    for _ in range(warm_up):
        handle(_request(path, chance.choice(clients)))
    for _ in range(count // 2):
        # two of each side in a round, so that a round has a spread of its own
        order = [f"{side} {number}" for side in SIDES for number in (1, 2)]
        chance.shuffle(order)
        times = {}
        for one in order:
            side = one.split()[0]
            guid = chance.choice(clients) if side == "client" else str(uuid.uuid4())
            request = _request(path, guid)
            start = time.perf_counter_ns()
            response = handle(request)
            times[one] = (time.perf_counter_ns() - start) / 1000
            seen[side].append(response)
        rounds.append(times)
    return Sample(rounds, seen["stranger"], {side: [features_of(one) for one in some] for side, some in seen.items()})


def compare(handle: Handle, clients: Sequence[str], path: str, count: int) -> Verdict:
    """Collect a sample, and look for a difference."""
    return collect(handle, clients, path, count).verdict()


def _request(path: str, guid: str) -> Request:
    return Request("GET", path, [("CALE-GUID", guid)], tls=SUITE)


def guids(server: ReferenceServer) -> list[str]:
    """Every registration there is."""
    return [str(row["guid"]) for row in server._database.rows("SELECT guid FROM registrations")]
