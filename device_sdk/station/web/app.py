"""The pages, as a WSGI application. Nothing that a device says gets onto a page but as text."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from device_sdk.errors import LedgerError
from device_sdk.station.ledger.reader import LedgerReader
from device_sdk.station.web.access import is_asked_here
from device_sdk.station.web.benches import Benches

if TYPE_CHECKING:
    from flask import Flask, Response

    from device_sdk.station.web.access import Access

_PAGE = 100
_FETCH = ("Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def make_app(ledger: LedgerReader, access: Access) -> Flask:
    """The page of a ledger.

    Args:
        ledger: open for reading; the caller closes it.
        access: who may see it.

    Raises:
        MissingDependencyError: Flask is not installed.
    """
    try:
        from flask import Flask, jsonify, render_template
    except ImportError as error:
        from device_sdk.errors import MissingDependencyError

        raise MissingDependencyError(
            "the station page needs Flask", hint="pip install 'device-sdk[station]'"
        ) from error

    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 4096
    benches = Benches(ledger)
    _guard(app, access)

    @app.get("/")
    def live() -> str:
        return render_template("live.html", ledger=ledger.id)

    @app.get("/api/live")
    def live_data() -> Response:
        return jsonify(benches.now())

    @app.get("/runs")
    def runs() -> str:
        return render_template("runs.html", runs=_runs(ledger))

    @app.get("/failures")
    def failures() -> str:
        found = ledger.newest(_PAGE, kind="failed", before=_number("before"))
        return render_template("failures.html", entries=found, more=found[-1].number if len(found) == _PAGE else None)

    @app.get("/devices")
    def devices() -> str:
        wanted = _word("serial")
        record = ledger.device(wanted) if wanted else None
        entries = list(islice(ledger.entries(device=wanted), 1000)) if record else []
        return render_template("device.html", wanted=wanted, record=record, entries=entries)

    @app.get("/run")
    def run() -> str:
        name = _word("name")
        records = list(islice(ledger.devices(run=name), 5000)) if name else []
        return render_template("run.html", name=name, records=records)

    return app


def _guard(app: Flask, access: Access) -> None:
    from flask import Response, render_template, request

    @app.before_request
    def look() -> Response | None:
        if not access.is_for_us(request.host):
            return Response("another host's page\n", 421, mimetype="text/plain")
        if not is_asked_here(*map(request.headers.get, _FETCH)):
            return Response("another page asks for this\n", 403, mimetype="text/plain")
        given = request.authorization
        user, password = (given.username, given.password) if given and given.type == "basic" else (None, None)
        if not access.may_see(user, password):
            headers = {"WWW-Authenticate": 'Basic realm="provisioning station", charset="UTF-8"'}
            return Response("the page's password is asked for\n", 401, headers, mimetype="text/plain")
        return None

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers.update(_HEADERS)
        return response

    @app.errorhandler(LedgerError)
    def unreadable(error: LedgerError) -> tuple[str, int]:
        return render_template("error.html", words=str(error)), 503

    @app.errorhandler(404)
    def missing(_error: Exception) -> tuple[str, int]:
        return render_template("error.html", words="There is no such page."), 404


def _runs(ledger: LedgerReader) -> list[dict[str, Any]]:
    """The newest runs: when they began and how they ended."""
    found: dict[str, dict[str, Any]] = {}
    for entry in ledger.newest(_PAGE, kind="run-started"):
        if entry.run:
            found.setdefault(entry.run, {"run": entry.run, "started": entry.time, "facts": entry.facts, "end": None})
    for entry in ledger.newest(_PAGE, kind="run-ended"):
        if entry.run in found and found[entry.run]["end"] is None:
            found[entry.run]["end"] = entry
    return list(found.values())


def _word(name: str) -> str:
    from flask import request

    return request.args.get(name, "")[:200]


def _number(name: str) -> int | None:
    text = _word(name)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
