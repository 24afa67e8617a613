"""How far a client bends towards servers that do not do as the standards say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from device_sdk.errors import ConfigurationError

BindingMode: TypeAlias = Literal["auto", "exporter", "finished", "tls-unique", "none"]
"""What a request is bound to (EST-91 to EST-98).

- "auto": tls-unique on TLS 1.2, the exporter of RFC 9266 on TLS 1.3.
- "exporter": the exporter on both versions.
- "finished": on TLS 1.3 the first Finished message, for servers that treat 1.3 as libest does; tls-unique on TLS 1.2.
- "tls-unique": as RFC 7030 has it; holds the connection to TLS 1.2.
- "none": requests are not bound, and servers that insist on it cannot be used.
"""

After202: TypeAlias = Literal["rebuild", "keep-connection", "same-csr"]
"""What is sent again after a 202 (EST-163, EST-164).

- "rebuild": the same request while the connection lasts; on a new connection one that is bound to it, signed anew.
- "keep-connection": the same, but the connection is never closed while waiting. For servers that know a pending request
  by its bytes. It costs an idle connection, and helps only as long as nobody in between closes it.
- "same-csr": the very bytes that were answered by 202, on whatever connection. Costs the link between identity and
  possession: the binding in them is that of the first connection, and a server that checks it (RFC 7030 section 3.5)
  refuses them.
"""


Dialect: TypeAlias = Literal["rfc7030", "draft-04"]
"""How the operations are spelt: "cacerts", or "CACerts" as in draft-ietf-pkix-est-04; answers of both are read either way."""


@dataclass(frozen=True)
class Compatibility:
    """The defaults are for servers that follow the standards.

    Attributes:
        binding: what requests are bound to.
        max_tls_version: "1.2" for servers that know RFC 7030 only; None for the newest.
        after_202: what is sent again after a 202.
        dialect: how the operations are spelt in paths.
    """

    binding: BindingMode = "auto"
    max_tls_version: str | None = None
    after_202: After202 = "rebuild"
    dialect: Dialect = "rfc7030"

    def __post_init__(self) -> None:
        for what, value, known in (
            ("binding", self.binding, get_args(BindingMode)),
            ("policy after a 202", self.after_202, get_args(After202)),
            ("dialect", self.dialect, get_args(Dialect)),
        ):
            if value not in known:
                raise ConfigurationError(f"there is no {what} {value!r}", hint=f"choose one of {', '.join(known)}")
        if self.binding == "tls-unique" and self.max_tls_version == "1.3":
            raise ConfigurationError(
                "a request cannot be bound by tls-unique on TLS 1.3, which does not define it",
                hint="leave --tls-max (est.tls_max) out or make it 1.2, or leave the choice to the client (--binding auto)",
            )

    @property
    def highest_tls_version(self) -> str | None:
        """`max_tls_version`, or what the binding needs."""
        return self.max_tls_version or ("1.2" if self.binding == "tls-unique" else None)


STANDARD = Compatibility()
