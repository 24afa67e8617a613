"""Keys for those who have none: a decoy is a real message for a key that nobody has (CALE-24, CALE-35 to CALE-38)."""

from __future__ import annotations

import math
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from datetime import datetime

from cryptography import x509

from device_sdk_simulators.cale.answer_sizes import AnswerSizes, Lengths
from device_sdk_simulators.cale.binary_http import BINARY_HTTP
from device_sdk_simulators.cale.capabilities import fit, takes_responses
from device_sdk_simulators.cale.ciphers import ContentCipher
from device_sdk_simulators.cale.draft_decoy import DRAFT_DECOY
from device_sdk_simulators.cale.envelope import DATA, ciphertext_length, unreadable
from device_sdk_simulators.cale.exchanges import end_of_work
from device_sdk_simulators.cale.log_tags import LOG_SECRET, log_tag
from device_sdk_simulators.cale.recipients import Recipients
from device_sdk_simulators.cale.room import take
from device_sdk_simulators.database import Database
from device_sdk_simulators.est.bodies import in_lines, wrap
from device_sdk_simulators.http.messages import Request
from device_sdk_simulators.policy import Policy

WHO_AM_I = "/whoami"
_ANSWERS = 256
_ALIKE = 16
_MOST = 4096
_COPIES = 3
"""Of a decoy at most, while it is made and written in base64."""
_SPIN_S = 0.0002


class Decoys:
    """Makes an edge device's decoys, and waits as long as answers take.

    Args:
        database: memory of lengths, and of the secret that keeps a stranger the same.
        policy: forms of the answers.
        clock: time of certificates.
        sleep: waits.
    """

    def __init__(
        self,
        database: Database,
        policy: Policy,
        clock: Callable[[], datetime],
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        secret = database.secret("strangers of the edge device")
        self._sizes = AnswerSizes(database, lambda: policy.cale.padding)
        self._recipients = Recipients(secret, clock)
        self._log_secret = database.secret(LOG_SECRET)
        self._policy = policy
        self._sleep = sleep
        self._lock = threading.Lock()
        self._durations: OrderedDict[str, deque[tuple[float, float]]] = OrderedDict()

    def learn(self, request: Request, message: bytes, lengths: tuple[int, int] | None = None, owner: str = "") -> None:
        """Remember how long a real answer to this request is.

        Args:
            request: of a client.
            message: the answer; ValueError for what is no envelope.
            lengths: what the server that made it says of its length, as bare content and as a whole response.
            owner: whose answer it is, if that is known.
        """
        length, aead, _type = ciphertext_length(message)
        said = Lengths(*lengths) if lengths else None
        self._sizes.learn(request.path, length, aead=aead, query=_query_of(request), lengths=said, owner=owner)

    def lengths(self, request: Request, guid: str) -> tuple[int, int]:
        """How long a decoy to this request is before it is encrypted, as bare content and as a whole response."""
        return self._sizes.of(request.path, self._recipients.mark(guid), _query_of(request))

    def took(self, path: str, validation_s: float, answer_s: float) -> None:
        """Remember how long the validation of a real request took, and then its answer or the failure to get one."""
        with self._lock:
            for key in (path, ""):
                known = self._durations.setdefault(key, deque(maxlen=_ANSWERS))
                known.append((validation_s, answer_s))
                self._durations.move_to_end(key)
                if len(self._durations) > _MOST:
                    # what was not used for longest
                    self._durations.popitem(last=False)

    def remember(self, guid: str, certificate: x509.Certificate) -> None:
        """Remember what is behind a GUID, for times when the authorization server is not asked, or does not say."""
        self._recipients.remember(guid, certificate)

    def make(
        self, request: Request, guid: str, like: x509.Certificate | None, cipher: ContentCipher
    ) -> tuple[bytes, ContentCipher]:
        """Base64 in lines of a message that nobody can read, and the cipher it names.

        Args:
            request: of whoever gets it.
            guid: that it came with.
            like: what the authorization server gave for it: the certificate of a key that nobody has, or a client's own,
                where something fails afterwards and its answers have to look as they always do; None if it gave nothing.
            cipher: of the connection.
        """
        if self._policy.cale.decoys == "draft":
            return wrap(DRAFT_DECOY, 64, b"\n"), cipher
        for recipient in self._recipients.of(guid, like):
            try:
                chosen = fit(cipher, recipient)
                message = self._for(recipient, request, guid, chosen)
                return in_lines(message), chosen
            except Exception as error:  # noqa: BLE001 - whatever is wrong with a certificate does not show
                last = error
        raise last

    def _for(self, recipient: x509.Certificate, request: Request, guid: str, cipher: ContentCipher) -> bytes:
        mark, query = self._recipients.mark(guid), _query_of(request)
        # what the authorization server makes is as in the draft for everybody
        whole = request.path != WHO_AM_I and takes_responses(recipient)
        length = self._sizes.plaintext_length(request.path, mark, aead=cipher.aead, whole=whole, query=query)
        content_type = BINARY_HTTP if whole else DATA
        # outside of work with an end of its own it waits as long as it takes: there is nothing else to be sent
        take(length, _COPIES, end_of_work())
        return unreadable(length, recipient, cipher, hardened=self._policy.cale_hardened, content_type=content_type)

    def due(self, path: str, started: float, validated: float | None) -> float:
        """When a decoy may leave (time.monotonic): after as much time as one of the last answers on this path took.

        Args:
            path: of the request.
            started: when it came (time.monotonic).
            validated: when the authorization server had answered; None if it was not asked, or gave no answer. A validation
                takes as long for strangers, so that only the time after it has to be made up.
        """
        if self._policy.cale.one_slot:
            # everything leaves at the end of it
            return started
        with self._lock:
            known = tuple(self._durations.get(path, ()) or self._durations.get("", ()) or ((0.0, 0.0),))
        if validated is None:
            return started + sum(secrets.choice(known))
        # what slows a validation slows the answer to it: one of those that were like this one
        alike = sorted(known, key=lambda one: abs(one[0] - (validated - started)))[:_ALIKE]
        return validated + secrets.choice(alike)[1]

    def wait(self, started: float, due: float, *, however_late: bool = False) -> None:
        """Wait until an answer is due, and then, where there are slots, for the next multiple of the slot.

        In one sleep: after two of them a decoy would be nearer to the slot than an answer, which comes there from work.

        Args:
            started: when the request came (time.monotonic).
            due: see `due`.
            however_late: whether nobody decides after the first slot that this request has no answer.
        """
        slot = self._policy.cale.slot_s
        if self._policy.cale.one_slot and not however_late:
            # a busy machine makes it late by what it takes, and never by a whole slot more, which only clients would meet
            due = started + slot
        elif slot > 0:
            elapsed = max(due, time.monotonic()) - started
            due = started + slot * math.ceil(elapsed / slot)
        self._sleep_until(due)

    def _sleep_until(self, target: float) -> None:
        self._sleep(max(0.0, target - _SPIN_S - time.monotonic()))
        while time.monotonic() < target:
            # a sleep ends late by as much as would tell a decoy in a few hundred requests
            pass

    def tag(self, guid: str) -> str:
        """What stands for a GUID in the log."""
        return log_tag(self._log_secret, guid)


def _query_of(request: Request) -> str:
    return request.target.partition("?")[2]
