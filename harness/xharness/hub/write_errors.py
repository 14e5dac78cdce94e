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

# Tokens as the Hub makes them; signed addresses of uploads carry their secret behind the question mark.
_SECRETS = re.compile(
    r"(?<![\w/])(?:hf|api_org|hf_oauth|hf_jwt)_[\w.-]+|(?<=[Bb]earer )\S+|(?<=://)[^\s/@]+@|(?<=\S)\?\S+"
)


class RepositoryChanged(PublishError):
    """The repository was changed by somebody else since it was compared."""


class ResponseLost(PublishError):
    """What was asked for may have been done: the answer did not come, or was an error of the Hub itself."""


def redact(text: str) -> str:
    """Return a text without tokens, passwords and the query part of addresses.

    >>> scrubbed("403 for https://me:pw@host/x?sig=1 with Authorization: Bearer abc and hf_AbC")
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
        return None  # one that could not be had, as from a CI's identity provider, stands in no text


@contextmanager
def explain_write_errors(repo: str, what: str) -> Iterator[None]:
    """Turn what huggingface_hub raises inside the block into a sentence, and keep secrets out of what it logs.

    Args:
        repo: what is written to.
        what: what is asked for, as it stands behind "the Hub refuses ..." (``this commit``).
    """
    with _quiet():
        try:
            yield
        except XharnessError:
            raise
        except Exception as error:
            # Whatever it is, its own text may hold an address with a secret.
            raise _sentence(error, repo, what) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Have the Hub's client say that it waits and tries again, without the addresses that it does so with."""

    class Scrubbing(logging.Filter):
        """Replaces the text of a record by one without secrets."""

        def filter(self, record: logging.LogRecord) -> bool:
            record.msg, record.args = redact(record.getMessage()), ()
            return True

    filters = [(handler, Scrubbing()) for handler in logging.getLogger("huggingface_hub").handlers]
    for handler, each in filters:
        handler.addFilter(each)
    try:
        yield
    finally:
        for handler, each in filters:
            handler.removeFilter(each)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it came from: a failed upload is wrapped in another by the client."""
    cause: BaseException | None = error
    for _ in range(8):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or cause.__context__


def _sentence(error: Exception, repo: str, what: str) -> XharnessError:
    from huggingface_hub import errors

    causes = list(_causes(error))
    if any(isinstance(cause, errors.LocalTokenNotFoundError) for cause in causes):
        return PublishError(f"{repo}: there is no token of the Hub on this machine. {LOG_IN}.")
    for cause in causes:
        response = getattr(cause, "response", None)
        if response is not None:
            server = getattr(cause, "server_message", None) or response.headers.get("X-Error-Message") or ""
            return _answered(response.status_code, strip_controls(redact(str(server))).strip(), repo, what)
    if any(isinstance(cause, errors.OfflineModeIsEnabled) for cause in causes):
        return PublishError(f"{repo}: HF_HUB_OFFLINE is set. Unset it to publish.")
    if any(isinstance(cause, http_error() | ConnectionError | TimeoutError) for cause in causes):
        return ResponseLost(
            f"{repo}: {what}: the Hub cannot be reached, or the connection broke. Run the same command again: it looks "
            "at what is there, and sends what is missing."
        )
    unreadable = next((c for c in causes if isinstance(c, OSError) and c.errno is not None and c.filename), None)
    if isinstance(unreadable, OSError):
        return OutputError(f"{unreadable.filename}: cannot be read: {os.strerror(unreadable.errno or 0)}.")
    last = causes[-1]
    return PublishError(f"{repo}: {what}: it failed ({type(last).__name__}: {redact(str(last))[:400]}).")


def _answered(status: int, server: str, repo: str, what: str) -> XharnessError:
    """Return what an answer of the Hub other than a good one means."""
    answer = f" It says: {server[:400].rstrip('. ')}." if server else ""
    match status:
        case 401:
            return PublishError(f"{repo}: the Hub does not know this token (HTTP 401). {LOG_IN}.")
        case 403:
            return PublishError(
                f"{repo}: the Hub refuses {what}: this token has no right to it (HTTP 403).{answer} {LOG_IN} that may "
                f"write to '{repo.partition('/')[0]}'; whoever may read can propose a change as a pull request."
            )
        case 404:
            return PublishError(
                f"{repo}: the Hub refuses {what}: there is no such repository, branch or file (any more), or this "
                f"token may not see it (HTTP 404).{answer} Look at the name, or run the same command again."
            )
        case 409 | 412:
            return RepositoryChanged(
                f"{repo}: the repository was changed meanwhile (HTTP {status}), so nothing was changed.{answer} Run "
                "the "
                "same command again: it compares anew."
            )
        case 429:
            return PublishError(
                f"{repo}: the Hub says that this machine asks too much (HTTP 429). Wait some minutes and run the same "
                "command again."
            )
        case _ if status >= 500:
            return ResponseLost(
                f"{repo}: {what}: the Hub answered with an error of its own (HTTP {status}).{answer} Run the same "
                "command again later: it looks at what is there, and sends what is missing."
            )
    return PublishError(f"{repo}: the Hub refuses {what} (HTTP {status}).{answer}")


def retry_on_rate_limit(call: Callable[[], _Result]) -> _Result:
    """Call again where the Hub says that it was asked too much: the client waits for it at uploads only.

    Nothing else is tried again here: what was answered with an error of the Hub may have been done.
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


def _wait(asked: str | None, attempt: int) -> float:
    """Return how many seconds to wait: as asked (a number; a date is not read), else longer every time."""
    seconds = float(asked) if asked is not None and asked.isdecimal() else 2.0**attempt
    return min(seconds, _LONGEST_WAIT)
