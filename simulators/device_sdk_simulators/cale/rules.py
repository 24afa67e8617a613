"""What the CALE roles allow beyond the form of their answers; every attribute can be changed while they run."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from device_sdk_simulators.cale.ciphers import SUITES


@dataclass
class CaleRules:
    """Rules of one role; those who work together are meant to have the same.

    Attributes:
        suites: cipher suites that may be named in Cipher, by OpenSSL or IANA name (CALE-28, CALE-29).
        backdate: how far before now certificates begin, for servers whose clock is slow (CALE-48).
        clock_skew: how far outside of its validity a certificate is still accepted (CALE-55).
        max_lifetime: the longest validity of a certificate that is accepted.
        replay: "strict": a certificate is for one request; "per-request": for one request to each method and target;
            "off": for any number of them until it expires.
        scopes: the scope that paths below a path need (CALE-56); the longest one that fits counts.
        grants: the scopes of owners by name; "" is everybody else.
        padding: lengths of text and JSON are multiples of this number of bytes (CALE-37); 0 leaves them as they are.
        decoys: "hardened" (real envelopes for keys that nobody has) or "draft" (as Appendix B prints them).
        slot_s: answers leave at multiples of this time after their request; 0 sends them when they are ready, and decoys
            after as long as answers to others took.
        late: what goes to a client whose answer is not ready at the end of its first slot: "decoy", so that every answer there
            is takes one slot; "wait": the answer, after another slot, which tells that there was one.
        on_failure: what the edge gives where a server behind it fails: "decoy", or "502", which tells who is registered.
        inside: what is encrypted for clients that take whole responses: "http" (RFC 9292: status, header fields and content,
            filled up in a way that can be taken away) or "draft" (bare content, as for all others). The authorization
            server's decides.
        certificate_header: "CALE-PEM", or "Client-Cert" for the form of RFC 9440.
        rate: requests a minute with one GUID, and to /whoami as many again, registrations from one address, and where
            `rate_answer` is "429" requests from one address; 0 for any number (CALE-32).
        rate_answer: what goes to who asks more often: "decoy", or "429", which tells that somebody else uses a GUID.
        registrations: records that one owner may have, revoked ones included; 0 for any number.
        strangers_like: owners whose registrations strangers are like, from the first one on; none: like the first ones of
            the site.
        memory: bytes for large answers and decoys that are made at one time; others wait until there is room.
        forward: those of `headers.FORWARDED` that go inside as clients send them; the length of an answer must not depend on
            them, or it tells who is registered.
        methods: what may be asked besides GET and HEAD by who also proves its identity (CALE-06).
    """

    suites: tuple[str, ...] = SUITES
    backdate: timedelta = timedelta(seconds=5)
    clock_skew: timedelta = timedelta(0)
    max_lifetime: timedelta = timedelta(seconds=60)
    replay: str = "strict"
    scopes: dict[str, str] = field(default_factory=dict)
    grants: dict[str, tuple[str, ...]] = field(default_factory=lambda: {"": ("read",)})
    padding: int = 0
    decoys: str = "hardened"
    slot_s: float = 0.0
    late: str = "decoy"
    on_failure: str = "decoy"
    inside: str = "http"
    certificate_header: str = "CALE-PEM"
    rate: int = 0
    rate_answer: str = "decoy"
    registrations: int = 1000
    strangers_like: tuple[str, ...] = ()
    memory: int = 256 * 1024 * 1024
    forward: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()

    @property
    def one_slot(self) -> bool:
        """Whether every answer takes one slot, and what is not ready by then is a decoy."""
        return self.slot_s > 0 and self.late == "decoy"
