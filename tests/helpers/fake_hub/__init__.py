"""A small Hub on 127.0.0.1: repositories lie on disk, and the unmodified clients read and write them over HTTP.

    with LoopbackHub(tmp_path) as hub:
        hub.repository("models", "org/tiny").commit({"config.json": "{}"})
        with hub.client(home, HF_TOKEN=TOKEN) as client:
            client.run("result = xharness.hub.read.resolve('org/tiny', 'main', 'model')")

What is shown here is that clients and xharness agree; that huggingface.co would answer the same is not shown.
"""

from helpers.fake_hub.client import Client, ClientError
from helpers.fake_hub.server import TOKEN, LoopbackHub, Request
from helpers.fake_hub.store import LARGE, Repository

__all__ = ["LARGE", "TOKEN", "Client", "ClientError", "LoopbackHub", "Repository", "Request"]
