"""Translate errors of writing to the Hub into messages without secrets; retry on rate limits."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from xharness.errors import OutputError, PublishError, XharnessError
from xharness.hub.errors import http_error
from xharness.text import strip_controls

LOG_IN = "Log in with `hf auth login`, or set HF_TOKEN to a token with the role 'write'"

_Result = TypeVar("_Result")
_TRIES = 5
_LONGEST_WAIT = 300.0

# Tokens of the Hub. Signed upload addresses carry their secret after the question mark.
_SECRETS = re.compile(
    r"(?<![\w/])(?:hf|api_org|hf_oauth|hf_jwt)_[\w.-]+|(?<=[Bb]earer )\S+|(?<=://)[^\s/@]+@|(?<=\S)\?\S+"
)


class RepositoryChanged(PublishError):
    """Somebody else changed the repository after it was compared."""


class ResponseLost(PublishError):
    """No answer arrived, or an error of the Hub itself: the request may have succeeded."""


def redact(text: str) -> str:
    """Return a text without tokens, passwords and the query part of addresses.

    >>> redact("403 for https://me:pw@host/x?sig=1 with Authorization: Bearer abc and hf_AbC")
    '403 for https://***host/x*** with Authorization: Bearer *** and ***'
    """
    token = _token()
    hidden = text.replace(token, "***") if token else text
    return _SECRETS.sub("***", hidden)


def _token() -> str | None:
    from huggingface_hub import get_token

    try:
        return get_token()
    except Exception:
        return None  # a token that cannot be obtained, as from the identity provider of a CI, is in no text


@contextmanager
def explain_write_errors(repo: str, what: str) -> Iterator[None]:
    """Turn errors of huggingface_hub inside the block into one sentence, and redact its log.

    Args:
        repo: repository that is written to.
        what: what is written, as in "the Hub refuses ..." (``this commit``).
    """
    with _quiet():
        try:
            yield
        except XharnessError:
            raise
        except Exception as error:
            # The original text may contain an address with a secret.
            raise _explain(error, repo, what) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Redact the log records of huggingface_hub: its messages about retries contain addresses."""

    class RedactingFilter(logging.Filter):
        """Redacts the text of a record."""

        def filter(self, record: logging.LogRecord) -> bool:
            record.msg, record.args = redact(record.getMessage()), ()
            return True

    filters = [(handler, RedactingFilter()) for handler in logging.getLogger("huggingface_hub").handlers]
    for handler, redacting_filter in filters:
        handler.addFilter(redacting_filter)
    try:
        yield
    finally:
        for handler, redacting_filter in filters:
            handler.removeFilter(redacting_filter)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes: the client wraps the error of a failed upload in another."""
    cause: BaseException | None = error
    for _ in range(8):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or cause.__context__


def _explain(error: Exception, repo: str, what: str) -> XharnessError:
    from huggingface_hub import errors

    causes = list(_causes(error))
    if any(isinstance(cause, errors.LocalTokenNotFoundError) for cause in causes):
        return PublishError(f"{repo}: this machine has no Hub token. {LOG_IN}.")
    for cause in causes:
        response = getattr(cause, "response", None)
        if response is not None:
            server = getattr(cause, "server_message", None) or response.headers.get("X-Error-Message") or ""
            return _response_error(response.status_code, strip_controls(redact(str(server))).strip(), repo, what)
    if any(isinstance(cause, errors.OfflineModeIsEnabled) for cause in causes):
        return PublishError(f"{repo}: HF_HUB_OFFLINE is set. Unset it to publish.")
    if any(isinstance(cause, http_error() | ConnectionError | TimeoutError) for cause in causes):
        return ResponseLost(
            f"{repo}: {what}: the Hub cannot be reached, or the connection broke. Run the same command again: it sends "
            "only what is missing."
        )
    unreadable = next((c for c in causes if isinstance(c, OSError) and c.errno is not None and c.filename), None)
    if isinstance(unreadable, OSError):
        return OutputError(f"{unreadable.filename}: cannot be read: {os.strerror(unreadable.errno or 0)}.")
    last = causes[-1]
    return PublishError(f"{repo}: {what} failed ({type(last).__name__}: {redact(str(last))[:400]}).")


def _response_error(status: int, server: str, repo: str, what: str) -> XharnessError:
    """Return the error for a response with an HTTP error status."""
    answer = f" Message of the Hub: {server[:400].rstrip('. ')}." if server else ""
    match status:
        case 401:
            return PublishError(f"{repo}: the Hub does not know this token (HTTP 401). {LOG_IN}.")
        case 403:
            return PublishError(
                f"{repo}: the Hub refuses {what}: this token has no permission (HTTP 403).{answer} {LOG_IN} that may "
                "write "
                f"to '{repo.partition('/')[0]}'. With read access you can open a pull request."
            )
        case 404:
            return PublishError(
                f"{repo}: the Hub refuses {what}: the repository, branch or file does not exist (any more), or is "
                "hidden "
                f"from this token (HTTP 404).{answer} Check the name, or run the same command again."
            )
        case 409 | 412:
            return RepositoryChanged(
                f"{repo}: somebody else changed the repository meanwhile (HTTP {status}). Nothing was "
                f"written.{answer} Run "
                "the same command again: it compares again."
            )
        case 429:
            return PublishError(
                f"{repo}: too many requests from this machine (HTTP 429). Wait some minutes and run the same command "
                "again."
            )
        case _ if status >= 500:
            return ResponseLost(
                f"{repo}: {what}: the Hub had an internal error (HTTP {status}).{answer} Run the same command again "
                "later: "
                "it sends only what is missing."
            )
    return PublishError(f"{repo}: the Hub refuses {what} (HTTP {status}).{answer}")


def retry_on_rate_limit(call: Callable[[], _Result]) -> _Result:
    """Call, and retry on HTTP 429; the client itself does so only for uploads.

    Other errors are not retried: a request that the Hub answered with an error may have succeeded.
    """
    from huggingface_hub.errors import HfHubHTTPError

    for attempt in range(1, _TRIES + 1):
        try:
            return call()
        except HfHubHTTPError as error:
            if error.response.status_code != 429 or attempt == _TRIES:
                raise
            time.sleep(_wait(error.response.headers.get("Retry-After"), attempt))
    raise AssertionError("the last attempt returns or raises")


def _wait(retry_after: str | None, attempt: int) -> float:
    """Return the seconds to wait: those of Retry-After (a date is ignored), else twice as long each time."""
    seconds = float(retry_after) if retry_after is not None and retry_after.isdecimal() else 2.0**attempt
    return min(seconds, _LONGEST_WAIT)
