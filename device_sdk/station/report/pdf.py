"""The page as PDF, for the archive. The only place where WeasyPrint is imported."""

from __future__ import annotations

from device_sdk.errors import ConfigurationError, MissingDependencyError

_INSTALL = "pip install 'device-sdk[report]' 'weasyprint>=68', and apt-get install libpango-1.0-0 libpangoft2-1.0-0"


def pdf(page: str) -> bytes:
    """A page of ours as PDF. Nothing is fetched but what is in the page itself.

    Raises:
        ConfigurationError: the page wants something from elsewhere.
        MissingDependencyError: WeasyPrint or the library below it is not installed.
    """
    try:
        from weasyprint import HTML  # type: ignore[import-untyped]
        from weasyprint.urls import FatalURLFetchingError, URLFetcher  # type: ignore[import-untyped]
    except (ImportError, OSError) as error:  # OSError: Pango is loaded by name
        raise MissingDependencyError(
            f"reports as PDF need WeasyPrint and Pango: {error}", hint=_INSTALL, extra="report"
        ) from error
    fetcher = URLFetcher(allowed_protocols=("data",), allow_redirects=False, fail_on_errors=True)
    try:
        made: bytes = HTML(string=page, url_fetcher=fetcher).write_pdf()
    except FatalURLFetchingError as error:
        raise ConfigurationError(f"a page that is to be PDF may fetch nothing: {error}") from error
    return made
