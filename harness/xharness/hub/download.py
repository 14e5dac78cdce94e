"""Resumable download of one file into a given path."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xharness.errors import ModelError, OutputError
from xharness.hub.errors import Request, explain_read_errors


def receive(repo: str, sha: str, path: str, size: int, part: Path, tell: Callable[[int], object]) -> None:
    """Download a file of a model repository at a commit into ``part``; what is there already is not asked for again.

    `huggingface_hub.hf_hub_download` begins each file anew in each process. That what is there is the beginning of the
    right file is not proved here: compare the whole with its digest.

    Args:
        repo: ``org/name``.
        sha: the commit.
        path: the file's path in the repository.
        size: its size, as the Hub's listing says.
        part: the local file; the folder is there.
        tell: is given the number of bytes whenever some have come.

    Raises:
        ModelError: the file is not there, may not be read with this token, or the connection broke; what has come is
            kept.
        OutputError: the disk is full or the folder cannot be written.
    """
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils._headers import build_hf_headers
    from huggingface_hub.utils.tqdm import tqdm

    class Counter(tqdm):
        """What the client takes for its progress bar."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})  # type: ignore[no-untyped-call]

        def update(self, n: float | None = 1) -> None:
            tell(int(n or 0))

    if size > constants.MAX_HTTP_DOWNLOAD_SIZE:
        raise ModelError(
            f"{repo}: {path} has {size / 1e9:,.0f} GB, more than the Hub sends over plain HTTP. Get it with "
            f"`hf download {repo} --revision {sha} --local-dir FOLDER`."
        )
    # Packed on its way, a file could not be gone on with in the middle.
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    with explain_read_errors(Request(repo, sha, "model", path), lambda: ""), part.open("ab") as file:
        have = file.tell()
        if have > size:
            file.truncate(0)
            have = 0
        tell(have)
        url = hf_hub_url(repo, path, revision=sha)
        try:
            http_get(url, file, resume_size=have, headers=headers, expected_size=size, tqdm_class=Counter)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise OutputError(
                f"{part.parent}: {path} cannot be written: {os.strerror(error.errno)}. Make room, and run the same "
                "command again: what has come is kept."
            ) from None
