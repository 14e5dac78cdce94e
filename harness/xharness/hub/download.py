"""Resumable download of one file into a given path."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xharness.errors import ModelError, OutputError
from xharness.hub.errors import Request, explain_read_errors


def download_resumable(
    repo: str, sha: str, path: str, size: int, part: Path, on_bytes: Callable[[int], object]
) -> None:
    """Download a file of a model repository at a commit into ``part``, and resume if ``part`` exists.

    `huggingface_hub.hf_hub_download` starts each file from the beginning in each process. This function does not verify
    that an existing ``part`` is the beginning of the right file: compare the digest of the complete file.

    Args:
        repo: ``org/name``.
        sha: the commit.
        path: the file's path in the repository.
        size: its size in bytes, from the Hub's listing.
        part: the local file, in an existing folder.
        on_bytes: called with the number of bytes whenever some were received.

    Raises:
        ModelError: the file does not exist, may not be read with this token, or the connection broke; received bytes
            are kept.
        OutputError: the disk is full or the folder is not writable.
    """
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils._headers import build_hf_headers
    from huggingface_hub.utils.tqdm import tqdm

    class Counter(tqdm):
        """Passes the progress of the client to ``on_bytes`` instead of a bar."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})  # type: ignore[no-untyped-call]

        def update(self, n: float | None = 1) -> None:
            on_bytes(int(n or 0))

    if size > constants.MAX_HTTP_DOWNLOAD_SIZE:
        raise ModelError(
            f"{repo}: {path} has {size / 1e9:,.0f} GB, more than the Hub serves over plain HTTP. Download it "
            f"with `hf download {repo} --revision {sha} --local-dir FOLDER`."
        )
    # A compressed response could not be resumed in the middle.
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    with explain_read_errors(Request(repo, sha, "model", path), lambda: ""), part.open("ab") as file:
        offset = file.tell()
        if offset > size:
            file.truncate(0)
            offset = 0
        on_bytes(offset)
        url = hf_hub_url(repo, path, revision=sha)
        try:
            http_get(url, file, resume_size=offset, headers=headers, expected_size=size, tqdm_class=Counter)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise OutputError(
                f"{part.parent}: {path} cannot be written: {os.strerror(error.errno)}. Free some space and run the "
                "same "
                "command again. Received data is kept."
            ) from None
