"""Kafka's jars: which ones, where they are kept, how they come there.

The list `jars.json` pins every file by coordinate, size and SHA-256, so nothing is resolved at run time:
a jar is either in the cache with the right content, or it is fetched and checked before it gets there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path

import msgspec

from processor.backends.embedded.errors import INSTALL_EXTRA, NotFetched, NotInstalled

KAFKA_VERSION = "4.2.0"
CACHE_VARIABLE = "CREATIVE_FEEDBACK_CACHE"
REPOSITORY_VARIABLE = "CREATIVE_FEEDBACK_MAVEN"
_TRIES = 3
_CONNECTIONS = 4

Progress = Callable[[int, int], None]
"""Called with (bytes present, bytes in all) after every piece of a download, from several threads in turn."""


class Jar(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One pinned file of the Java world."""

    coordinate: str  # group:artifact:version
    bytes: int
    sha256: str

    @property
    def file_name(self) -> str:
        _group, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


def pinned_jars() -> tuple[Jar, ...]:
    """The jars of Apache Kafka's broker and console tools, as this package pins them."""
    text = resources.files(__package__).joinpath("jars.json").read_bytes()
    return msgspec.json.decode(text, type=tuple[Jar, ...])


def cache_folder() -> Path:
    """Where downloads are kept for this user: `CREATIVE_FEEDBACK_CACHE`, else the XDG cache folder."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "creative-feedback"


def kafka_jars(
    progress: Progress | None = None, folder: Path | None = None, jars: tuple[Jar, ...] | None = None
) -> list[Path]:
    """Paths of all jars, fetched first where the cache lacks them.

    Safe to call from several processes: one downloads, the others wait for it.
    Raises `NotInstalled` without the extra and `NotFetched` when the repository cannot be reached,
    sends other bytes than pinned, or the cache folder cannot be written.
    """
    wanted = jars if jars is not None else pinned_jars()
    home = (folder or cache_folder()) / f"kafka-{KAFKA_VERSION}"
    missing = _missing(wanted, home)
    if missing:
        try:
            home.mkdir(parents=True, exist_ok=True)
            with locked(home / "download.lock"):
                missing = _missing(wanted, home)
                _fetch(missing, home, progress, sum(jar.bytes for jar in wanted))
        except OSError as error:
            # requests' errors are OSErrors too; _fetch has already named those, so this is the disk.
            raise NotFetched(
                f"cannot write Kafka's jars to {home}: {error.strerror or error}; "
                f"free space there or choose another folder with {CACHE_VARIABLE}"
            ) from error
    return [home / jar.file_name for jar in wanted]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an advisory lock on a file; it falls with the process, however the process ends."""
    import fcntl  # POSIX only, and so is everything that starts processes here

    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _missing(jars: tuple[Jar, ...], home: Path) -> list[Jar]:
    """What is not there with the pinned size; a file gets its final name only after its hash was checked."""
    sizes = {entry.name: entry.stat().st_size for entry in os.scandir(home)} if home.is_dir() else {}
    return [jar for jar in jars if sizes.get(jar.file_name) != jar.bytes]


class _Cancelled(Exception):
    """The other downloads failed or were interrupted: this one ends too."""


class _Tally:
    """Bytes over all parallel downloads, told to one listener at a time."""

    def __init__(self, progress: Progress | None, present_bytes: int, total_bytes: int) -> None:
        self._progress = progress
        self._present_bytes = present_bytes
        self._total_bytes = total_bytes
        self._mutex = threading.Lock()
        self._cancelled = False

    def cancel(self) -> None:
        self._cancelled = True

    def add(self, count_bytes: int) -> None:
        if self._cancelled:
            raise _Cancelled
        with self._mutex:
            self._present_bytes += count_bytes
            if self._progress is not None:
                self._progress(self._present_bytes, self._total_bytes)


def _fetch(missing: list[Jar], home: Path, progress: Progress | None, total_bytes: int) -> None:
    tally = _Tally(progress, total_bytes - sum(jar.bytes for jar in missing), total_bytes)
    with (
        tempfile.TemporaryDirectory(dir=home, prefix="download-") as scratch,
        ThreadPoolExecutor(_CONNECTIONS) as pool,
    ):
        jobs = [pool.submit(_fetch_one, jar, Path(scratch), home, tally) for jar in missing]
        try:
            for job in jobs:
                job.result()
        except BaseException:
            tally.cancel()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _fetch_one(jar: Jar, scratch: Path, home: Path, tally: _Tally) -> None:
    try:
        import requests
        from jgo.maven import MavenContext
        from jgo.maven._resolver import PythonResolver  # the public name is only reachable by a string option
    except ImportError as error:
        raise NotInstalled(f"the embedded broker needs {error.name}: {INSTALL_EXTRA}") from error

    @contextlib.contextmanager
    def watched(_name: str, _size_bytes: int) -> Iterator[Callable[[int], None]]:
        yield tally.add

    repository = os.environ.get(REPOSITORY_VARIABLE)
    group, artifact, version = jar.coordinate.split(":")
    reason = ""
    for number in range(_TRIES):
        # A folder per try: an interrupted download leaves a partial file that must not be taken for the jar.
        context = MavenContext(
            resolver=PythonResolver(progress_callback=watched),
            repo_cache=scratch / f"{jar.file_name}-{number}",
            remote_repos={"chosen": repository} if repository else None,
        )
        try:
            path = context.project(group, artifact).at_version(version).artifact().resolve()
        except (requests.RequestException, RuntimeError) as error:
            reason = _why(error)
            continue
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found == jar.sha256:
            shutil.move(path, home / jar.file_name)
            return
        reason = f"its SHA-256 is {found[:12]}…, pinned is {jar.sha256[:12]}…"
        tally.add(-path.stat().st_size)
    raise NotFetched(
        f"cannot fetch {jar.coordinate} from {repository or 'Maven Central'}: {reason}; "
        f"connect to the network once, or name a mirror in {REPOSITORY_VARIABLE}"
    )


def _why(error: Exception) -> str:
    """One short line; requests' own would name connection pools and memory addresses."""
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        return "it does not answer in time"
    if "ConnectionError" in type(error).__name__:
        return "it cannot be reached"
    return " ".join(str(error).split())[:200]
