"""The review server saves decisions at once, and answers nobody but the report's own pages."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from planted_dataset import PHONE, make_dataset
from running_server import running_server

from dped_data.dataset.review_file import read_review
from dped_data.errors import InputError
from dped_data.inspection.pipeline import inspect_pairs
from dped_data.inspection.report import InspectReport
from dped_data.inspection.review_server import ReviewServer


@pytest.fixture(scope="module")
def inspected(tmp_path_factory: pytest.TempPathFactory) -> tuple[InspectReport, Path]:
    folder = tmp_path_factory.mktemp("inspected")
    make_dataset(folder / "dataset", count=2)
    (folder / "captures" / PHONE).mkdir(parents=True)
    (folder / "captures" / PHONE / "c000.png").write_bytes(b"a photo")
    (folder / "captures" / PHONE / "secret.png").write_bytes(b"not part of the dataset")
    report = inspect_pairs(folder / "dataset", PHONE, folder / "report", captures=folder / "captures", jobs=1)
    return report, folder


@pytest.fixture
def server(inspected: tuple[InspectReport, Path], tmp_path: Path) -> Iterator[ReviewServer]:
    report, folder = inspected
    with running_server(ReviewServer(report, folder / "report", tmp_path / "review.csv")) as running:
        yield running


def ask(
    server: ReviewServer,
    name: str,
    method: str = "GET",
    body: str | None = None,
    token: str | None = None,
    **headers: str,
) -> tuple[int, bytes, http.client.HTTPMessage]:
    parts = urlsplit(server.address)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    path = (f"/{token}/" if token is not None else parts.path) + name
    connection.request(method, path, body, {key.replace("_", "-"): value for key, value in headers.items()})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content, answer.headers


def decide(server: ReviewServer, **document: object) -> tuple[int, bytes]:
    status, content, _ = ask(server, "review", "POST", json.dumps(document), Content_Type="application/json")
    return status, content


def test_decisions_are_saved_at_once_and_come_back(server: ReviewServer) -> None:
    assert decide(server, capture_id="c000", verdict="reject", note="blurred,\nreally")[0] == 200
    assert read_review(server.review) == {"c000"}
    assert decide(server, capture_id="c001", verdict="reject", note="")[0] == 200
    assert decide(server, capture_id="c000", verdict="accept")[0] == 200
    assert read_review(server.review) == {"c001"}
    decisions = json.loads(ask(server, "review")[1])
    assert [(d["capture_id"], d["verdict"]) for d in decisions] == [
        ("c000", "reject"),
        ("c001", "reject"),
        ("c000", "accept"),
    ]
    assert decisions[0]["note"] == "blurred, really"


def test_a_later_server_goes_on_with_the_same_file(inspected: tuple[InspectReport, Path], server: ReviewServer) -> None:
    decide(server, capture_id="c001", verdict="reject")
    report, folder = inspected
    later = ReviewServer(report, folder / "report", server.review)
    assert [d["capture_id"] for d in later.decisions()] == ["c001"]


@pytest.mark.parametrize(
    "document",
    [
        {"capture_id": "nobody", "verdict": "reject"},
        {"capture_id": "c000", "verdict": "maybe"},
        {"capture_id": ["c000"], "verdict": "reject"},
        {"capture_id": "c000", "verdict": "reject", "note": "\ud800"},
        {"verdict": "reject"},
    ],
)
def test_nonsense_is_refused_and_not_written(server: ReviewServer, document: dict[str, object]) -> None:
    assert decide(server, **document)[0] == 400
    assert not server.review.exists()


def test_bodies_that_are_not_json_or_too_long_are_refused(server: ReviewServer) -> None:
    assert ask(server, "review", "POST", "reject!", Content_Type="application/json")[0] == 400
    assert ask(server, "review", "POST", "x" * 100_000, Content_Type="application/json")[0] == 413
    assert ask(server, "review", "POST", "[" * 50_000, Content_Type="application/json")[0] == 400


def test_the_report_is_served_below_the_token_only(server: ReviewServer) -> None:
    status, content, headers = ask(server, "")
    assert status == 200
    assert content.startswith(b"<!doctype html>")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert ask(server, "assets/core.js")[0] == 200
    assert ask(server, "pairs/00000/data.js")[0] == 200
    for token in ("", "wrong", "review"):
        assert ask(server, "", token=token)[0] == 403
        assert ask(server, "review", token=token)[0] == 403


def test_requests_under_another_name_or_from_another_page_are_refused(server: ReviewServer) -> None:
    assert ask(server, "", Host="evil.example")[0] == 403  # a name that was made to point to this machine
    body = json.dumps({"capture_id": "c000", "verdict": "reject"})
    foreign = {"Content_Type": "application/json", "Origin": "http://evil.example"}
    assert ask(server, "review", "POST", body, **foreign)[0] == 403
    assert ask(server, "review", "POST", body, Content_Type="text/plain")[0] == 415  # what a foreign form may send
    assert not server.review.exists()


def test_only_this_machine_is_listened_to(server: ReviewServer) -> None:
    assert urlsplit(server.address).hostname == "127.0.0.1"


@pytest.mark.parametrize(
    "name",
    [
        "../dataset/sony/dataset.json",
        "assets/../../dataset/sony/dataset.json",
        "assets/%2e%2e/%2e%2e/x",
        "verdict.json.bak",
        "assets",
        "assets/%00",
        "etc/passwd",
    ],
)
def test_nothing_but_the_report_is_served(server: ReviewServer, name: str) -> None:
    assert ask(server, name)[0] == 404


def test_photos_of_the_dataset_are_served_and_no_others(server: ReviewServer) -> None:
    assert ask(server, f"photos/{PHONE}/c000.png")[1] == b"a photo"
    assert ask(server, f"photos/{PHONE}/secret.png")[0] == 404
    assert ask(server, f"photos/{PHONE}/c001.png")[0] == 404  # named by the dataset, but not there


def test_a_pipe_named_as_a_photo_is_not_waited_for(server: ReviewServer, inspected: tuple[InspectReport, Path]) -> None:
    pipe = inspected[1] / "captures" / PHONE / "c001.png"
    os.mkfifo(pipe)
    try:
        assert ask(server, f"photos/{PHONE}/c001.png")[0] == 404
    finally:
        pipe.unlink()
    assert ask(server, f"photos/{PHONE}/../{PHONE}/secret.png")[0] == 404


@pytest.mark.parametrize("name", ["../captures/sony/c000.png", "sony/notes.txt", "/etc/passwd"])
def test_a_dataset_cannot_have_other_files_served(inspected: tuple[InspectReport, Path], name: str) -> None:
    report, folder = inspected
    (folder / "captures" / PHONE / "notes.txt").write_text("private")
    wrong = replace(report, captures=(replace(report.captures[0], phone_file=name), *report.captures[1:]))
    server = ReviewServer(wrong, folder / "report")
    server._http.server_close()
    assert server.file_of(f"photos/{name}") is None
    assert server.file_of(f"photos/{report.captures[0].dslr_file}") is not None


def test_a_file_that_is_no_review_is_refused(inspected: tuple[InspectReport, Path], tmp_path: Path) -> None:
    report, folder = inspected
    (tmp_path / "notes.csv").write_text("something else\n")
    with pytest.raises(InputError, match="not a review"):
        ReviewServer(report, folder / "report", tmp_path / "notes.csv")
    with pytest.raises(InputError, match="no such folder"):
        ReviewServer(report, folder / "report", tmp_path / "none" / "review.csv")
