"""Translate errors of reading the Hub into messages for the user."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from xharness.errors import DataError, ModelError, OutputError, XharnessError, nearest_folder

RepoType = Literal["model", "dataset", "space"]

SHA = re.compile(r"[0-9a-f]{40}")


class NoSuchFile(XharnessError):
    """The repository exists, but the file does not."""


class Unreachable(XharnessError):
    """The Hub cannot be reached, or HF_HUB_OFFLINE is set. Instances are also a ModelError or a DataError."""


class _ModelUnreachable(Unreachable, ModelError):
    """The Hub cannot be reached for a model."""


class _DataUnreachable(Unreachable, DataError):
    """The Hub cannot be reached for a data set."""


class _NoSuchModelFile(NoSuchFile, ModelError):
    """A model repository does not have a file."""


class _NoSuchDataFile(NoSuchFile, DataError):
    """A data set does not have a file."""


def http_error() -> type[Exception]:
    """Return the base class of HTTP errors: that of httpx in huggingface_hub 1, of httpx2 in huggingface_hub 2."""
    import huggingface_hub.utils

    library: Any = huggingface_hub.utils
    error: type[Exception] = library.httpx.HTTPError
    return error


@dataclass(frozen=True)
class Request:
    """A request to the Hub, for error messages: a repository, or one file of it."""

    repo: str
    revision: str | None
    repo_type: RepoType
    path: str | None = None

    @property
    def of_model(self) -> bool:
        """Whether it is for a model, not for a data set or a Space."""
        return self.repo_type == "model"

    @property
    def kind(self) -> type[XharnessError]:
        """The class of its errors."""
        return ModelError if self.of_model else DataError

    @property
    def where(self) -> str:
        """The repository with its branch or tag, for messages; a sha is left out."""
        named = self.revision and not SHA.fullmatch(self.revision)
        return f"{self.repo}@{self.revision}" if named else self.repo


@contextmanager
def explain_read_errors(request: Request, nearest_revision: Callable[[], str]) -> Iterator[None]:
    """Turn errors of huggingface_hub inside the block into one sentence for the user.

    The text of the original error is left out: it may contain a URL with a password, a proxy or a token.

    Args:
        request: what the block requests.
        nearest_revision: returns a hint if the revision does not exist.
    """
    from huggingface_hub import errors

    kind, where, file = request.kind, request.where, request.path
    try:
        yield
    except errors.GatedRepoError:
        page = f"https://huggingface.co/{'' if request.of_model else 'datasets/'}{request.repo}"
        raise kind(
            f"{where}: this repository is gated, and this machine has no access. Accept its terms at "
            f"{page}, then log in with `hf auth login` or set HF_TOKEN to a token of the same account."
        ) from None
    except errors.RevisionNotFoundError:
        raise kind(f"{request.repo}: revision '{request.revision}' does not exist.{nearest_revision()}") from None
    except errors.RepositoryNotFoundError:
        raise _not_found(request) from None
    except errors.RemoteEntryNotFoundError:
        missing = _NoSuchModelFile if request.of_model else _NoSuchDataFile
        revision = (request.revision or "main")[:12]
        raise missing(f"{where}: {file or 'the file'} does not exist at {revision}.") from None
    except (errors.HFValidationError, errors.HfUriError):
        raise kind(
            f"{where}: neither a local folder nor a repository name on the Hub (org/name, with letters, digits, '-', "
            "'_' "
            "and '.')."
        ) from None
    except errors.HfHubHTTPError as error:
        raise _refused(error.response.status_code, request) from None
    except (
        errors.RevisionResolutionError,
        errors.LocalEntryNotFoundError,
        errors.FileMetadataError,
        http_error(),
        ConnectionError,
        TimeoutError,
    ) as error:
        raise _unreachable(error, request) from None
    except OSError as error:
        raise _interrupted(error, request) from None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise kind(
            f"{where}: the response is not one of the Hub ({type(error).__name__}). A proxy may have changed it. Run "
            "the "
            "same command again later."
        ) from None


def _not_found(request: Request) -> XharnessError:
    what = {"model": "model", "dataset": "data set", "space": "Space"}[request.repo_type]
    folder = Path(request.repo).expanduser()
    local = nearest_folder(folder) if "/" in request.repo and folder.parent.is_dir() else ""
    return request.kind(
        f"{request.where}: the Hub has no {what} of this name, or it is private. Check the spelling"
        f"{local and f' (as a local folder:{local})'}. For a private one, log in with `hf auth login` or "
        "set HF_TOKEN to a token that may read it."
    )


def _refused(status: int, request: Request) -> XharnessError:
    if status in (401, 403):
        return request.kind(
            f"{request.where}: the Hub refuses this token (HTTP {status}). Log in again with `hf auth login`, or "
            "set HF_TOKEN to a token that may read this repository."
        )
    if status == 429:
        return request.kind(
            f"{request.where}: too many requests from this machine (HTTP 429). Wait some minutes and run the same "
            "command "
            "again; complete files are kept. `hf auth login` raises the limit."
        )
    return request.kind(
        f"{request.where}: the Hub answered with an error (HTTP {status}). Run the same command again later; complete "
        "files are kept."
    )


def _unreachable(error: Exception, request: Request) -> XharnessError:
    from huggingface_hub import constants

    causes = [error, error.__cause__, error.__context__]
    statuses = [c.response.status_code for c in causes if getattr(c, "response", None) is not None]  # type: ignore[union-attr]
    why = (
        "HF_HUB_OFFLINE is set, and the file is not in the cache"
        if constants.HF_HUB_OFFLINE
        else f"the Hub answered with an error (HTTP {statuses[0]})"
        if statuses
        else "the Hub cannot be reached, or the connection broke"
    )
    repo, flags = request.repo, f" --revision {request.revision}" if request.revision else ""
    if request.of_model:
        instead = f"`hf download {repo}{flags} --local-dir FOLDER`, and use FOLDER as the model"
        error_class: type[XharnessError] = _ModelUnreachable
    else:
        instead = f"`hf download {repo} --repo-type dataset{flags} --local-dir DIR/{repo}`, and use --data-dir DIR"
        error_class = _DataUnreachable
    again = "Unset it" if constants.HF_HUB_OFFLINE else "Run the same command again (complete files are kept)"
    return error_class(f"{request.where}: {why}. {again}, or on a machine with a network run {instead}.")


def _interrupted(error: OSError, request: Request) -> XharnessError:
    file = request.path or "a file"
    if error.errno is None:  # the file is not as long as the Hub says
        return request.kind(
            f"{request.where}: the download of {file} was interrupted. Run the same command again; complete files are "
            "kept."
        )
    room = " Free some space, or set HF_HOME to a larger disk;" if error.errno == errno.ENOSPC else ""
    return OutputError(
        f"{request.where}: {file} cannot be written: {os.strerror(error.errno)}.{room} then run the "
        "same command again; complete files are kept."
    )
