"""What every test may rely on: one thread a process, no network, real data only where it is named."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Before numpy is imported: its linear algebra reads these once.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(_name, "1")

import pytest  # noqa: E402

TESTS = Path(__file__).resolve().parent
SOURCE = TESTS.parent / "src"


@pytest.fixture(autouse=True)
def one_torch_thread() -> None:
    """torch counts its own threads; it is asked only where something has imported it already."""
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "set_num_threads") and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """A test that reaches for the network fails; sockets on this machine still work."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        local = self.family == getattr(socket, "AF_UNIX", None) or (
            isinstance(address, tuple) and address[0] in ("127.0.0.1", "::1", "localhost")
        )
        if not local:
            raise RuntimeError(f"a test tried to reach {address!r}; tests use no network")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield


@pytest.fixture(autouse=True, scope="session")
def no_cache_of_the_users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is kept for the next run is kept for the next test, and never in the user's own folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOPHAGE_CACHE", str(tmp_path_factory.mktemp("kept")))
        yield


@pytest.fixture(scope="session", autouse=True)
def strangers() -> Any:
    """The user's own module, importable here and in every process started from here."""
    sys.path.insert(0, str(TESTS))
    yield
    sys.path.remove(str(TESTS))


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCE), str(TESTS)])}


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets that AUTOPHAGE_DATA names; the test is skipped where there is none."""
    named = os.environ.get("AUTOPHAGE_DATA")
    if not named:
        pytest.skip("AUTOPHAGE_DATA is not set: it names the folder of real data sets")
    folder = Path(named)
    if not folder.is_dir():
        pytest.skip(f"AUTOPHAGE_DATA is {named}, which is not a folder")
    return folder


@pytest.fixture
def close() -> Callable[..., None]:
    """close(values, expected, tolerance): the mean over replicates is right, and the replicates suffice to
    tell: the tolerance is at least four of its standard errors."""

    def check(values: Any, expected: float, tolerance: float, relative: bool = True) -> None:
        width = tolerance * abs(expected) if relative else tolerance
        error = values.std() / len(values) ** 0.5
        assert 4 * error <= width, (
            f"{len(values)} replicates cannot resolve {width:g}: standard error {error:g}"
        )
        assert abs(values.mean() - expected) <= width, (
            f"{values.mean():g} is not {expected:g} within {width:g}"
        )

    return check


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Test names that are the same in every worker: compressed bytes carry the time they were made."""
    return argname if isinstance(val, bytes) else None
