"""What is fuzzed: one function a reader of what comes from outside. Whatever it is given, nothing but DeviceSdkError may escape;
of the reference server, nothing but its refusals."""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz.answers import (
    cale_answer,
    cale_plaintext,
    certs_only,
    cmc_response,
    csrattrs,
    envelope,
    generated_key,
    http_head,
    multipart,
    private_key,
    saved_answer,
    stream,
)
from tests.fuzz.lines import console, device_answer, serial_line, serial_message
from tests.fuzz.packages import (
    firmware,
    kept_file,
    kept_state,
    key_package,
    package_list,
    path,
    revocation_lists,
    sealed_return,
    tamp,
)

TARGETS: dict[str, Callable[[bytes], None]] = {
    function.__name__.replace("_", "-"): function
    for function in (
        envelope,
        stream,
        cale_answer,
        cale_plaintext,
        http_head,
        csrattrs,
        certs_only,
        multipart,
        saved_answer,
        private_key,
        generated_key,
        cmc_response,
        key_package,
        firmware,
        path,
        kept_file,
        kept_state,
        package_list,
        revocation_lists,
        device_answer,
        tamp,
        serial_line,
        serial_message,
        sealed_return,
        console,
    )
}
