"""What all tests share: a closed network, an environment of their own, tiny checkpoints and synthetic data."""

from __future__ import annotations

import atexit
import ipaddress
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from helpers.paths import GOLD

NO_MIRROR = "no data folder (XHARNESS_DATA_DIR)"

# One profile for all property tests: the same examples in every run, and nothing that depends on how fast the machine
# is. ``--hypothesis-profile=thorough`` (make test-all) draws more examples, other ones in each run.
_CALM = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]}
settings.register_profile("default", derandomize=True, database=None, **_CALM)
settings.register_profile("thorough", derandomize=False, max_examples=1000, **_CALM)
settings.load_profile("default")


def _own_environment() -> str | None:
    """Leave nothing of this machine's settings to the tests; return its data folder.

    At import, because the Hub's libraries read their variables only once, when they are imported.
    """
    # The second name is for the processes that tests are spread over, which are started from this environment.
    mirror = os.environ.get("XHARNESS_DATA_DIR") or os.environ.get("DATA_DIR_OF_TESTS")
    os.environ["DATA_DIR_OF_TESTS"] = mirror or ""
    for name in list(os.environ):
        if name.startswith(("HF_", "XHARNESS_", "TRANSFORMERS_")) or name.lower().endswith("_proxy"):
            del os.environ[name]
    home = tempfile.mkdtemp(prefix="xharness-tests-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.environ.update(
        HF_HOME=home,
        HF_DATASETS_CACHE=f"{home}/datasets",
        XHARNESS_CACHE=f"{home}/cache",
        HF_HUB_OFFLINE="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        TOKENIZERS_PARALLELISM="false",
        OMP_NUM_THREADS="2",
        MKL_NUM_THREADS="2",
        OMP_WAIT_POLICY="PASSIVE",  # waiting threads of tiny models would hold up all others
    )
    return mirror


MIRROR = _own_environment()


def _is_here(host: object) -> bool:
    if host in (None, "", "localhost", socket.gethostname()):
        return True
    try:
        return ipaddress.ip_address(str(host)).is_loopback
    except ValueError:
        return False


@pytest.fixture(autouse=True, scope="session")
def closed_sockets():
    """Refuse every connection and every name look-up beyond this machine."""
    connect, connect_ex, look_up = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def guard(address: Any) -> None:
        if isinstance(address, tuple) and not _is_here(address[0]):
            raise OSError(f"the tests have no network: {address!r}")

    def guarded_connect(self: socket.socket, address: Any) -> None:
        guard(address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        guard(address)
        return connect_ex(self, address)

    def guarded_look_up(host: Any, *rest: Any, **named: Any) -> Any:
        if not _is_here(host):
            raise socket.gaierror(socket.EAI_NONAME, f"the tests have no network: {host!r}")
        return look_up(host, *rest, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
        patch.setattr(socket, "getaddrinfo", guarded_look_up)
        yield


@pytest.fixture
def mirror() -> Path:
    """Return the folder with real data; the test is skipped where there is none."""
    if not MIRROR or not Path(MIRROR).is_dir():
        pytest.skip(NO_MIRROR)
    return Path(MIRROR)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--renew-gold", action="store_true", help="Write tests/gold/ anew; look at the diff.")


@pytest.fixture
def gold(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Return what compares a text with the file of this name in ``tests/gold/``."""

    def compare(name: str, found: str) -> None:
        path = GOLD / name
        if request.config.getoption("--renew-gold"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(found, encoding="utf-8", newline="")
        assert found == path.read_bytes().decode("utf-8"), f"not as in {path}; --renew-gold writes it anew"

    return compare


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Long files are begun first: else one process would wait for the other at the end.
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    skipped = [r for r in terminalreporter.stats.get("skipped", []) if NO_MIRROR in str(r.longrepr)]
    if skipped:
        terminalreporter.write_line(f"{len(skipped)} tests skipped: {NO_MIRROR}")


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder in the layout of the Hub, made of ``tests/fixtures``; do not write to it."""
    from helpers.data_folder import make_data_folder

    return make_data_folder(tmp_path_factory.mktemp("synthetic") / "datasets")


@pytest.fixture(scope="module")
def machine(hub: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return a machine with xharness (``helpers.machine.Machine``) that knows the module's own ``hub``."""
    from helpers.machine import Machine

    made = Machine(hub, tmp_path_factory.mktemp("home"))
    with made.client:
        yield made


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Any:
    """Return an XLM-R-style tokenizer (Unigram, ``<s> a </s></s> b </s>``) of the fixtures' texts."""
    from helpers.tiny_models import tokenizer

    return tokenizer("xlm-roberta")


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return ``tiny_models.checkpoint`` with a folder of its own; equal requests share one, so do not write to it."""
    from helpers.tiny_models import checkpoint

    made: dict[str, Path] = {}

    def make(head: str = "encoder", **options: Any) -> Path:
        key = repr((head, sorted(options.items())))
        if key not in made:
            made[key] = checkpoint(tmp_path_factory.mktemp("tiny") / f"tiny-{head}", head, **options)
        return made[key]

    return make


@dataclass(frozen=True)
class Finished:
    """What a run of the command line left behind."""

    exit_code: int
    out: str
    err: str


@pytest.fixture
def runner(capsys: pytest.CaptureFixture[str]) -> Callable[..., Finished]:
    """Return what runs the command line in this process, as the ``xharness`` script does."""
    from xharness.cli.main import main

    def run(*arguments: object) -> Finished:
        capsys.readouterr()
        code = 0
        try:
            main([str(a) for a in arguments])
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return Finished(code, captured.out, captured.err)

    return run
