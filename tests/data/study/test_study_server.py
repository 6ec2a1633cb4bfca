"""The study's server: answers outlive it, garbage is refused in order, and nothing tells which class a photo is."""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from running_server import lasting_port, running_server
from study_photos import CLASSES, make_study

from dped_data.common.folder_lock import held
from dped_data.common.token_server import is_loopback
from dped_data.errors import InputError
from dped_data.study.create import create_study, study_sets
from dped_data.study.server import StudyServer, open_host_warning
from dped_data.study.store import AnswerStore
from dped_data.study.study_file import read_study

ROOT = Path(__file__).parents[3]
EVERYWHERE = "0.0.0.0"  # noqa: S104 - one test opens every interface for a moment


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_study(tmp_path_factory.mktemp("served"))[0]


@pytest.fixture
def server(folder: Path) -> Iterator[StudyServer]:
    for leftover in folder.glob("answers.sqlite3*"):
        leftover.unlink()
    with running_server(StudyServer(folder, port=0)) as running:
        yield running


def ask(
    address: str, name: str, document: object = None, method: str | None = None, **headers: str
) -> tuple[int, bytes, http.client.HTTPMessage]:
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.netloc, timeout=20)
    body = None if document is None else document if isinstance(document, bytes) else json.dumps(document).encode()
    sent = {"Content-Type": "application/json"} if body is not None else {}
    sent |= {key.replace("_", "-"): value for key, value in headers.items()}
    connection.request(method or ("GET" if body is None else "POST"), parts.path + name, body, sent)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content, answer.headers


def asked(address: str, name: str, document: object = None) -> Any:
    status, content, _ = ask(address, name, document)
    assert status == 200, content
    return json.loads(content)


def dice(seed: object) -> random.Random:
    return random.Random(str(seed))  # noqa: S311 - repeatable, not secret


def given(state: dict[str, Any]) -> dict[int, str]:
    return {place: q["answer"] for place, q in enumerate(state["questions"]) if q["answer"] is not None}


def test_a_subject_answers_goes_back_and_finds_everything_again(server: StudyServer) -> None:
    subject = asked(server.address, "subjects", {})["subject"]
    assert given(asked(server.address, f"subjects/{subject}")) == {}
    for place, side in ((0, "left"), (1, "right"), (2, "left"), (1, "left")):
        sent = {"subject": subject, "question": place, "choice": side}
        assert asked(server.address, "answers", sent) == {"question": place, "answer": side}
    assert given(asked(server.address, f"subjects/{subject}")) == {0: "left", 1: "left", 2: "left"}
    assert [answer.given for answer in server.store.answers()] == [1, 2, 1]


def test_the_side_that_was_chosen_is_the_class_that_is_stored(server: StudyServer) -> None:
    subject = asked(server.address, "subjects", {})["subject"]
    shown = server.store.questions(subject)
    assert shown is not None
    files = {(p.class_name, p.scene): p.file for p in read_study(server.store.path.parent).photos}
    for place, question in enumerate(asked(server.address, f"subjects/{subject}")["questions"]):
        for side in ("left", "right"):
            expected = files[getattr(shown[place], side), shown[place].question.scene]
            assert question[side]["photo"] == f"photos/{expected}"
        side = ("left", "right")[place % 2]
        asked(server.address, "answers", {"subject": subject, "question": place, "choice": side})
        assert server.store.choices(subject)[place] == getattr(shown[place], side)


def test_nothing_that_is_served_tells_the_class(server: StudyServer) -> None:
    subject = asked(server.address, "subjects", {})["subject"]
    served = [ask(server.address, name)[1] for name in ("study", f"subjects/{subject}")]
    for question in asked(server.address, f"subjects/{subject}")["questions"]:
        assert set(question) == {"left", "right", "answer"}
        assert set(question["left"]) == {"photo", "width", "height"}
        served.append(ask(server.address, question["left"]["photo"])[1])
    for word in (*CLASSES, "sony", "scene"):
        assert not any(word.encode() in content for content in served)
    for name in ("study.json", "../study.json", "photos/../study.json", "answers.sqlite3", "photos/", "photos/%00"):
        assert ask(server.address, name)[0] == 404, name


def test_photos_and_page_are_served_whole_with_a_strict_policy(server: StudyServer, folder: Path) -> None:
    photo = next((folder / "photos").iterdir())
    status, content, headers = ask(server.address, f"photos/{photo.name}")
    assert (status, content, headers["Content-Type"]) == (200, photo.read_bytes(), "image/png")
    status, content, headers = ask(server.address, "")
    assert status == 200 and content.startswith(b"<!doctype html>")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    for name in re.findall(r'(?:src|href)="([a-z]+\.[a-z]+)"', content.decode()):
        assert ask(server.address, name)[0] == 200, name


def test_a_photo_that_a_link_takes_the_place_of_is_not_served(
    server: StudyServer, folder: Path, tmp_path: Path
) -> None:
    photo = next((folder / "photos").iterdir())
    (tmp_path / "secret").write_bytes(b"mine")
    kept = photo.rename(tmp_path / photo.name)
    try:
        photo.symlink_to(tmp_path / "secret")
        assert ask(server.address, f"photos/{photo.name}")[0] == 404
        photo.unlink()
        with photo.open("wb") as file:
            file.truncate(3 * 2**30)  # takes no room on the disk
        assert ask(server.address, f"photos/{photo.name}")[0] == 404
    finally:
        photo.unlink()
        kept.rename(photo)
    assert ask(server.address, f"photos/{photo.name}")[0] == 200


def test_the_study_that_is_served_is_the_one_that_is_there_when_it_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = make_study(tmp_path)

    def replaced_before(place: Path, command: str) -> AbstractContextManager[Path]:
        create_study(study_sets(tmp_path / "sets", ()), folder, scenes=2, title="new")
        return held(place, command)

    monkeypatch.setattr("dped_data.study.server.held", replaced_before)
    with running_server(StudyServer(folder, port=0)) as server:
        assert asked(server.address, "study") == {"title": "new", "questions": 6}


def start_process(folder: Path, port: int) -> tuple[subprocess.Popen[str], str]:
    """Start `dped study serve`; return the process and the address that it prints."""
    command = [sys.executable, "-m", "cli", "study", "serve", str(folder), "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().split()[2]


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait(20)
    assert process.stdout is not None
    process.stdout.close()


def test_a_kill_between_any_two_answers_loses_none(tmp_path: Path) -> None:
    """Kill -9 after each acknowledged answer, at once: the next server has it, at the same address."""
    folder, study = make_study(tmp_path, scenes=2)
    process, address = start_process(folder, lasting_port())
    subject = asked(address, "subjects", {})["subject"]
    acknowledged: dict[int, str] = {}
    for place in range(len(study.questions)):
        side = dice(place).choice(("left", "right"))
        asked(address, "answers", {"subject": subject, "question": place, "choice": side})
        kill(process)
        acknowledged[place] = side
        process, again = start_process(folder, urlsplit(address).port or -1)
        assert again == address
        assert given(asked(address, f"subjects/{subject}")) == acknowledged
    kill(process)


def test_a_kill_in_the_middle_of_two_busy_subjects_loses_no_acknowledged_answer(tmp_path: Path) -> None:
    folder, study = make_study(tmp_path)
    process, address = start_process(folder, 0)
    subjects = [asked(address, "subjects", {})["subject"] for _ in range(2)]
    last: dict[tuple[str, int], tuple[str, str]] = {}  # what was acknowledged last, and what was sent since

    def answer(subject: str) -> None:
        rng = dice(subject)
        while True:
            place, side = rng.randrange(len(study.questions)), rng.choice(("left", "right"))
            before, _ = last.get((subject, place), ("", ""))
            last[subject, place] = (before, side)
            try:
                asked(address, "answers", {"subject": subject, "question": place, "choice": side})
            except (OSError, http.client.HTTPException):
                return
            last[subject, place] = (side, side)

    threads = [threading.Thread(target=answer, args=(subject,)) for subject in subjects]
    for thread in threads:
        thread.start()
    while sum(bool(before) for before, _ in list(last.values())) < 12:
        threads[0].join(0.01)
    kill(process)
    for thread in threads:
        thread.join(30)
    store = AnswerStore(folder, study)
    for subject in subjects:
        shown, stored = store.questions(subject), store.choices(subject)
        assert shown is not None
        for place, entry in enumerate(shown):
            before, sent = last.get((subject, place), ("", ""))
            side = {None: "", entry.left: "left", entry.right: "right"}[stored.get(place)]
            assert side in (before, sent), (subject, place)  # the last request may have been stored unacknowledged
    store.close()


WRONG_ANSWERS: list[object] = [
    None,
    [],
    "answer",
    7,
    {},
    {"subject": 5},
    {"subject": "nobody", "question": 0, "choice": "left"},
    {"subject": "\ud800", "question": 0, "choice": "left"},
    {"subject": ["SUBJECT"], "question": 0, "choice": "left"},
    {"subject": "SUBJECT", "question": -1, "choice": "left"},
    {"subject": "SUBJECT", "question": 9, "choice": "left"},
    {"subject": "SUBJECT", "question": 10**300, "choice": "left"},
    {"subject": "SUBJECT", "question": True, "choice": "left"},
    {"subject": "SUBJECT", "question": 0.0, "choice": "left"},
    {"subject": "SUBJECT", "question": "0", "choice": "left"},
    {"subject": "SUBJECT", "question": 0},
    {"subject": "SUBJECT", "question": 0, "choice": "both"},
    {"subject": "SUBJECT", "question": 0, "choice": ["left"]},
    {"subject": "SUBJECT", "question": 0, "choice": "dslr"},
]


def test_answers_that_make_no_sense_are_refused_and_not_stored(server: StudyServer) -> None:
    subject = asked(server.address, "subjects", {})["subject"]
    for wrong in WRONG_ANSWERS:
        body = json.dumps(wrong).replace("SUBJECT", subject).encode()
        assert 400 <= ask(server.address, "answers", body)[0] < 500, wrong
    for body in (b"left!", b"\xff\xfe", b"[" * 50_000, b'{"subject": ' + b"9" * 5000 + b"}", b""):
        assert ask(server.address, "answers", body)[0] == 400, body[:20]
    assert ask(server.address, "answers", b"x" * 100_000)[0] == 413
    assert server.store.answers() == ()


def test_requests_under_another_name_or_from_another_page_are_refused(server: StudyServer) -> None:
    port = urlsplit(server.address).port
    for host in (
        "evil.example",
        f"evil.example:{port}",
        "localhost",
        "127.0.0.1",
        "127.0.0.1:1",
        f"0.0.0.0:{port}",
        "",
    ):
        assert ask(server.address, "", Host=host)[0] == 403, host
    for origin in ("http://evil.example", "null", f"https://127.0.0.1:{port}", "http://127.0.0.1:1"):
        assert ask(server.address, "subjects", {}, Origin=origin)[0] == 403, origin
        assert ask(server.address, "", Origin=origin)[0] == 403, origin
    assert ask(server.address, "subjects", {}, Origin=f"http://127.0.0.1:{port}")[0] == 200
    assert ask(server.address, "", Host=f"localhost:{port}")[0] == 200
    assert ask(server.address, "subjects", {}, Content_Type="text/plain")[0] == 415  # what a foreign form may send
    for token in ("", "wrong", "subjects"):
        elsewhere = f"http://127.0.0.1:{port}/{token}/"
        assert ask(elsewhere, "")[0] == ask(elsewhere, "subjects", {})[0] == 403
    assert len(server.store.subjects()) == 1


def raw(server: StudyServer, request: bytes) -> bytes:
    """Send bytes as they are, say that nothing follows, and return all that comes back."""
    parts = urlsplit(server.address)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20) as connection:
        received = b""
        with suppress(OSError):  # the server may refuse and close before everything is sent; its answer is there
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            while part := connection.recv(65536):
                received += part
        return received


def garbage(rng: random.Random, path: str, host: str) -> bytes:
    """A request that is wrong somewhere, often right up to there."""
    alphabet = b"GET POST /:%\\.\0\r\n\t\xff\xc3{}[]\"'0123456789abcHTTP"
    noise = bytes(rng.choice(alphabet) for _ in range(rng.randrange(1, 60)))
    line = noise.replace(b"\r", b"").replace(b"\n", b"")
    kinds = [
        noise,
        b"GET " + line + b" HTTP/1.1\r\nHost: " + host.encode() + b"\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: " + host.encode() + b"\r\n\r\n",
        b"GET " + path.encode() + b"photos/" + line + b" HTTP/1.1\r\nHost: " + host.encode() + b"\r\n\r\n",
        b"GET " + path.encode() + b"subjects/" + line + b" HTTP/1.0\r\nHost: " + line + b"\r\n\r\n",
        line.replace(b" ", b"") + b" " + path.encode() + b" HTTP/1.1\r\nHost: " + host.encode() + b"\r\n\r\n",
        b"GET " + path.encode() + b" HTTP/" + line + b"\r\n\r\n",
        b"GET " + path.encode() + b" HTTP/1.1\r\n" + noise + b"\r\n\r\n",
        b"GET " + path.encode() + b"?" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET " + path.encode() + b" HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        *(
            b"POST " + path.encode() + b"answers HTTP/1.1\r\nHost: " + host.encode() + b"\r\nContent-Type: "
            b"application/json\r\nContent-Length: " + length + b"\r\n\r\n" + noise
            for length in (b"-1", b"9" * 5000, b"1e3", b"", line, str(len(noise)).encode(), b"50", b"\xb2", b"999999")
        ),
    ]
    return kinds[rng.randrange(len(kinds))]


def test_hundreds_of_garbage_requests_are_refused_one_by_one(
    server: StudyServer, capsys: pytest.CaptureFixture[str]
) -> None:
    rng, parts = dice(0), urlsplit(server.address)
    subject = asked(server.address, "subjects", {})["subject"]
    statuses: list[int] = []
    for number in range(600):
        request = garbage(rng, parts.path, parts.netloc)
        answer = raw(server, request)
        status = re.match(rb"HTTP/1\.0 (\d{3}) ", answer)
        if status:
            statuses.append(int(status[1]))
            assert 400 <= int(status[1]) < 500, (number, request[:200], answer[:200])
        else:  # nothing to answer, or the protocol before 1.0, which has no status
            assert len(answer) < 60 and b"<" not in answer, (number, request[:200], answer[:200])
    assert len(statuses) > 450 and {400, 403, 404, 405, 411, 413, 414, 431} <= set(statuses)
    assert given(asked(server.address, f"subjects/{subject}")) == {}
    assert server.store.subjects() == (subject,)
    captured = capsys.readouterr()
    assert captured.err == captured.out == ""  # no traceback


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE"])
def test_other_methods_are_not_allowed(server: StudyServer, method: str) -> None:
    assert ask(server.address, "", method=method)[0] == 405


def test_a_browser_that_leaves_in_the_middle_is_no_news(
    server: StudyServer, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = urlsplit(server.address)
    for _ in range(5):
        with socket.create_connection((parts.hostname or "", parts.port or 0)) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # end by a reset
            connection.sendall(f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
    assert ask(server.address, "")[0] == 200
    assert capsys.readouterr().err == ""


def test_a_store_that_fails_is_said_to_both_sides(server: StudyServer, capsys: pytest.CaptureFixture[str]) -> None:
    subject = asked(server.address, "subjects", {})["subject"]
    server.store._database.execute("DROP TABLE answers")  # stands for a disk that is full or gone
    status, content, _ = ask(server.address, "answers", {"subject": subject, "question": 0, "choice": "left"})
    assert status == 503 and b"please tell the person who runs this study" in content
    assert b"sqlite" not in content
    assert "answers.sqlite3: no such table" in capsys.readouterr().err


def test_loopback_unless_asked_otherwise(folder: Path, server: StudyServer) -> None:
    assert server.is_local and urlsplit(server.address).hostname == "127.0.0.1"
    assert all(is_loopback(host) for host in ("127.0.0.1", "::1", "localhost"))
    assert not any(is_loopback(host) for host in (EVERYWHERE, "192.168.1.2", "::", "x.org"))


def test_an_open_host_takes_numeric_names_only(folder: Path) -> None:
    running = StudyServer(folder, host=EVERYWHERE, port=0)
    thread = threading.Thread(target=running.serve)
    thread.start()
    try:
        assert not running.is_local
        port = urlsplit(running.address).port
        local = f"http://127.0.0.1:{port}{urlsplit(running.address).path}"
        assert ask(local, "")[0] == 200
        assert ask(local, "", Host=f"192.168.7.7:{port}")[0] == 200
        assert ask(local, "", Host=f"{socket.gethostname()}:{port}")[0] == 200
        assert ask(local, "", Host=f"evil.example:{port}")[0] == 403
        assert ask(local, "", Host=f"192.168.7.7:{port}", Origin="http://evil.example")[0] == 403
        assert ask(f"http://127.0.0.1:{port}/", "")[0] == 403
    finally:
        running.stop()
        thread.join(10)
    assert "nothing is encrypted" in open_host_warning(running.address)


def test_a_port_in_use_is_one_clear_line(folder: Path, server: StudyServer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"another command is writing here \(study serve, process \d+ on"):
        StudyServer(folder, port=0)
    folder = shutil.copytree(folder, tmp_path / "another")
    with pytest.raises(InputError, match=r"port \d+ on 127\.0\.0\.1 cannot be opened .*choose another port"):
        StudyServer(folder, port=urlsplit(server.address).port or 0)
    with pytest.raises(InputError, match="nowhere"):
        StudyServer(folder, host="nowhere.invalid", port=0)
