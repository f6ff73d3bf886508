"""Kafka's jars: pinned, fetched once, checked, named when missing. Against a repository on this machine."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from processor.backends.embedded.errors import NotFetched, NotInstalled
from processor.backends.embedded.jars import Jar, cache_folder, kafka_jars, pinned_jars

CONTENT = {"one": b"1" * 100_000, "two": b"2" * 50_000}


def jar(name: str) -> Jar:
    return Jar(f"org.example:{name}:1.0", len(CONTENT[name]), hashlib.sha256(CONTENT[name]).hexdigest())


JARS = (jar("one"), jar("two"))


class Repository:
    """A Maven repository that counts what it is asked for."""

    def __init__(self) -> None:
        self.files = {f"/org/example/{name}/1.0/{name}-1.0.jar": data for name, data in CONTENT.items()}
        self.asked: list[str] = []
        repository = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                repository.asked.append(self.path)
                data = repository.files.get(self.path)
                self.send_response(404 if data is None else 200)
                self.send_header("Content-Length", str(len(data or b"")))
                self.end_headers()
                self.wfile.write(data or b"")

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    repository = Repository()
    thread = threading.Thread(target=repository.server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("CREATIVE_FEEDBACK_MAVEN", repository.url)
    yield repository
    repository.server.shutdown()
    thread.join()
    repository.server.server_close()


def test_the_pinned_list_is_kafka_with_its_console_tools() -> None:
    names = [pinned.file_name for pinned in pinned_jars()]
    assert {"kafka_2.13-4.2.0.jar", "kafka-tools-4.2.0.jar", "kafka-clients-4.2.0.jar"} <= set(names)
    assert len(set(names)) == len(names)
    assert all(len(pinned.sha256) == 64 for pinned in pinned_jars())


def test_jars_arrive_whole_and_progress_ends_at_the_total(repository: Repository, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    paths = kafka_jars(lambda present, total: told.append((present, total)), tmp_path, JARS)
    assert [path.read_bytes() for path in paths] == [CONTENT["one"], CONTENT["two"]]
    assert told[-1] == (150_000, 150_000)
    assert [present for present, _ in told] == sorted(present for present, _ in told)
    assert not list(paths[0].parent.glob("download-*"))


def test_a_full_cache_asks_nobody(repository: Repository, tmp_path: Path) -> None:
    first = kafka_jars(None, tmp_path, JARS)
    repository.asked.clear()
    assert kafka_jars(None, tmp_path, JARS) == first
    assert repository.asked == []


def test_only_a_damaged_jar_is_fetched_again(repository: Repository, tmp_path: Path) -> None:
    one, two = kafka_jars(None, tmp_path, JARS)
    two.write_bytes(b"cut")
    repository.asked.clear()
    assert kafka_jars(None, tmp_path, JARS) == [one, two]
    assert two.read_bytes() == CONTENT["two"]
    assert not [path for path in repository.asked if "one" in path]


def test_simultaneous_starts_fetch_each_jar_once(repository: Repository, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        results = [job.result() for job in [pool.submit(kafka_jars, None, tmp_path, JARS) for _ in range(4)]]
    assert all(result == results[0] for result in results)
    fetched = [path for path in repository.asked if path.endswith(".jar")]
    assert sorted(fetched) == sorted(repository.files)


def test_other_bytes_than_pinned_never_reach_the_cache(repository: Repository, tmp_path: Path) -> None:
    repository.files["/org/example/two/1.0/two-1.0.jar"] = b"x" * 50_000
    with pytest.raises(NotFetched, match=r"org\.example:two:1\.0 .*SHA-256"):
        kafka_jars(None, tmp_path, JARS)
    assert not list(tmp_path.rglob("two-1.0.jar"))


def test_a_jar_the_repository_lacks_is_named(repository: Repository, tmp_path: Path) -> None:
    del repository.files["/org/example/one/1.0/one-1.0.jar"]
    with pytest.raises(NotFetched, match=r"org\.example:one:1\.0"):
        kafka_jars(None, tmp_path, JARS)


def test_without_network_one_line_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREATIVE_FEEDBACK_MAVEN", "http://127.0.0.1:9")  # the discard port: nobody is there
    with pytest.raises(NotFetched, match="connect to the network once") as raised:
        kafka_jars(None, tmp_path, JARS)
    assert "cannot be reached" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_cache_that_cannot_be_written_is_named_with_the_variable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(NotFetched, match=r"file.*CREATIVE_FEEDBACK_CACHE"):
        kafka_jars(None, tmp_path / "file", JARS)


def test_without_the_extra_the_command_to_install_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jgo.maven", None)
    with pytest.raises(NotInstalled, match=r"pip install 'creative-feedback\[broker\]'"):
        kafka_jars(None, tmp_path, JARS)


def test_the_cache_follows_the_variable_then_xdg_then_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.delenv("CREATIVE_FEEDBACK_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == Path("/home/somebody/.cache/creative-feedback")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/x")
    assert cache_folder() == Path("/var/cache/x/creative-feedback")
    monkeypatch.setenv("CREATIVE_FEEDBACK_CACHE", "/chosen")
    assert cache_folder() == Path("/chosen")
