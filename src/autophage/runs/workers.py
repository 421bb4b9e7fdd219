"""Tasks in worker processes of one thread each, some of them side by side."""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterable, Sequence
from typing import IO, Generic, NamedTuple, TypeVar

from autophage.worker import environment

T = TypeVar("T")


class Ended(NamedTuple, Generic[T]):
    """A task whose process has ended."""

    task: T
    code: int
    """The exit code: 0 where all went well, 2 after a user's mistake."""
    last: str
    """The last line that was said."""


def side_by_side(
    tasks: Iterable[tuple[T, Sequence[str]]], workers: int
) -> Generator[list[Ended[T]], None, None]:
    """Does tasks, each by a process `python -m WORDS`, at most so many at a time; each is taken when a worker is free for it.

    Gives about every tenth of a second the tasks that have ended since. To close it is to kill the workers that are left.
    """
    waiting, busy = iter(tasks), list[tuple[T, subprocess.Popen[bytes], IO[bytes]]]()
    try:
        while True:
            for task, words in itertools.islice(waiting, workers - len(busy)):
                heard: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
                busy.append((task, started(words, heard), heard))
            if not busy:
                return
            time.sleep(0.1)
            done = [one for one in busy if one[1].poll() is not None]
            busy = [one for one in busy if one not in done]
            ended = []
            for task, process, heard in done:
                process.communicate()
                with heard:
                    ended.append(Ended(task, process.returncode, last_words(heard, process)))
            yield ended
    finally:
        for _, process, _ in busy:
            process.kill()  # every file is whole at any moment, so nothing is gained by asking gently
        for _, process, heard in busy:
            process.communicate()
            heard.close()


def started(words: Sequence[str], heard: IO[bytes], answers: int | None = None) -> subprocess.Popen[bytes]:
    """A process `python -m WORDS` of one thread. What it says goes to a file, which never fills up; its standard output to
    `answers` where that is given."""
    # Its own session: Ctrl-C reaches the parent only, which then stops the workers in order. Its standard input ends when the
    # parent does, whatever ends it.
    return subprocess.Popen(
        [sys.executable, "-m", *words],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=heard if answers is None else answers,
        stderr=heard,
        start_new_session=True,
    )


def last_words(heard: IO[bytes], process: subprocess.Popen[bytes]) -> str:
    """The last line that a process said, which has ended or is about to."""
    heard.seek(0)
    lines = heard.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"exit code {process.wait()}"
