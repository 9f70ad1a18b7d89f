"""The review server: who may talk to it, what it keeps, what it finds. Filters against a plain loop over all samples."""

from __future__ import annotations

import http.client
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from PIL import Image
from review_server import Server, serving

from mmud.annotations.masks import Mask
from mmud.annotations.review.journal import Entry, Journal, Kind, Verdict, read_journal
from mmud.cli import run
from mmud.dataset.label_index import LabelIndex
from mmud.dataset.reviewed import default_journal
from mmud.dataset.store import Dataset
from mmud.dataset.writer import write_dataset
from mmud.errors import MmudError
from mmud.records import ImageReference, MaskedObject, Sample
from mmud.web.server.guard import Hosts
from mmud.web.server.session import Session

COUNT = 12


def samples(first: int, count: int) -> Iterator[Sample]:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 60, 20)).save(buffer, "PNG")
    array = np.zeros((30, 40), np.uint8)
    array[5:15, 5:20] = 1
    mask = Mask.from_array(array)
    for number in range(first, first + count):
        item = MaskedObject(
            phrases=(f"Phrase {number}",),
            segmentation=mask.to_record(),
            bbox=mask.bbox,
            category="cat" if number % 3 else "dog",
        )
        yield Sample(
            sample_id=f"s{number}",
            image=ImageReference(bytes=buffer.getvalue() if number != 4 else b"no image", path=f"{number}.png"),
            width=40,
            height=30,
            source="even" if number % 2 == 0 else "odd",
            caption=f"Café number {number}",
            question=f"why {number}?",
            answer=f"because <LCL-1> {number}" if number != 7 else "broken <LCL-4>",
            objects=(item,) * (number % 3),
        )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    folder = tmp_path_factory.mktemp("review")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMUD_CACHE", str(folder / "cache"))
        made = write_dataset(folder / "data", {"train": samples(0, 8), "test": samples(8, 4)}, shard_rows=3)
        lines = [{"code": "MM501", "message": "gone", "place": {"sample": f"s{number}"}} for number in (2, 9)]
        (made.path / "findings.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
        yield made


@pytest.fixture(scope="module")
def server(dataset: Dataset) -> Iterator[Server]:
    with serving(
        "review", dataset.path, "--reviewer", "anna", "--journal", dataset.path.parent / "http.jsonl"
    ) as found:
        yield found


Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture
def send(server: Server) -> Callable[..., Answer]:
    def sending(method: str, path: str, body: bytes | None = None, **headers: str | None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        given: dict[str, str | None] = {"Host": f"127.0.0.1:{server.port}"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection.putrequest(method, path, skip_host=True)
        for name, value in given.items():
            if value is not None:
                connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        connection.close()
        return found

    return sending


def test_nothing_is_told_without_the_token(server: Server, send: Callable[..., Answer]) -> None:
    assert len(server.token) >= 22
    secret = f"/{server.token}/"
    for path in ("/", "/static/review.js", "/api/overview", "/image/0", "/wrong/api/overview", f"//{server.token}/", "/%C3%A9/",
                 secret[:-2] + "/", f"/x{secret}", f"/x?token={server.token}"):  # fmt: skip
        status, headers, body = send("GET", path)
        assert status == 403, path
        assert b"s0" not in body
        assert server.token.encode() not in body
        assert "default-src 'none'" in headers["content-security-policy"]
    status, headers, body = send("GET", secret)
    assert status == 200
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers
    # No script, style or handler stands in the page itself.
    page = body.decode()
    assert page.count("<script") == page.count("<script src=") == 2
    assert "<style" not in page
    assert " on" not in "".join(part.partition(">")[0] for part in page.split("<"))


def test_only_its_own_names_reach_it(server: Server, send: Callable[..., Answer]) -> None:
    path = f"/{server.token}/api/overview"
    port = server.port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}", f"[::1]:{port}"):
        assert send("GET", path, Host=host)[0] == 200, host
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}", f"127.0.0.1.evil:{port}",
                 "", None, f"192.168.0.9:{port}"):  # fmt: skip
        assert send("GET", path, Host=host)[0] in (400, 421), host
    everywhere = Hosts("0.0.0.0", 80)
    assert everywhere.allow("10.1.2.3:80")
    assert not everywhere.allow("rebound.example:80")
    assert not everywhere.allow("10.1.2.3:81")
    assert not everywhere.local
    assert everywhere.allow("10.1.2.3")
    assert Hosts("127.0.0.1", 80).allow("[::1]")
    assert not Hosts("127.0.0.1", 80).allow("rebound.example")


def test_a_change_needs_the_token_in_a_header(server: Server, send: Callable[..., Answer], dataset: Dataset) -> None:
    path = f"/{server.token}/api/decide"
    record = json.loads(send("GET", f"/{server.token}/api/sample/0")[2])
    request = {"kind": "verdict", "verdict": "skip", "reviewer": "eve", "number": 0, "labels": record["labels"]}
    body = json.dumps(request).encode()
    token, own = server.token, f"http://127.0.0.1:{server.port}"
    for headers in ({}, {"X_MMUD_Token": "x"}, {"X_MMUD_Token": token, "Origin": "http://evil.example"},
                    {"X_MMUD_Token": token, "Origin": "null"}):  # fmt: skip
        assert send("POST", path, body, **headers)[0] == 403
    assert send("GET", path)[0] == 405
    assert send("PUT", path, body, X_MMUD_Token=token)[0] == 405
    journal = dataset.path.parent / "http.jsonl"
    assert "eve" not in journal.read_text("utf-8")
    status, _, answer = send("POST", path, body, X_MMUD_Token=token, Origin=own)
    assert status == 200
    assert json.loads(answer)["mine"]["verdict"] == "skip"
    assert "eve" in journal.read_text("utf-8")


def test_bad_requests_are_refused_with_a_code(server: Server, send: Callable[..., Answer]) -> None:
    path = f"/{server.token}/api/decide"
    labels = json.loads(send("GET", f"/{server.token}/api/sample/7")[2])["labels"]
    good = {"kind": "verdict", "verdict": "accept", "reviewer": "eve", "number": 7, "labels": labels}
    cases: list[tuple[Any, int, str]] = [
        (b"{", 400, "MM984"), (b"[]", 400, "MM984"), (b"\xff", 400, "MM984"), (b"[" * 200_000, 400, "MM984"),
        (b" " * (3 << 20), 400, "MM984"), ({**good, "number": 99}, 400, "MM984"),
        ({**good, "number": True}, 400, "MM984"),
        ({**good, "number": "7"}, 400, "MM984"), ({**good, "verdict": "maybe"}, 400, "MM984"),
        ({**good, "kind": "x"}, 400, "MM984"),
        ({**good, "reviewer": ""}, 400, "MM984"), ({**good, "reviewer": ["x"]}, 400, "MM984"),
        ({**good, "labels": "0"}, 409, "MM982"),
        ({**good, "reason": 7}, 400, "MM984"), (good, 409, "MM983"),
        ({**good, "kind": "edit", "field": "sample_id", "text": "x"}, 400, "MM984"),
        ({**good, "kind": "edit", "field": "answer", "text": "\ud800"}, 400, "MM984"),
        ({**good, "kind": "edit", "field": ["answer"], "text": "x"}, 400, "MM984"),
    ]  # fmt: skip
    for request, status, code in cases:
        body = request if isinstance(request, bytes) else json.dumps(request).encode()
        found, _, answer = send("POST", path, body, X_MMUD_Token=server.token)
        assert (found, json.loads(answer)["error"]["code"]) == (status, code), request
    for path in (
        "api/sample/99",
        "api/sample/-1",
        "image/4",
        "image/99",
        "static/review.html",
        "static/..%2f..%2fcli.py",
        "x",
    ):
        status, headers, answer = send("GET", f"/{server.token}/{path}")
        assert status in (400, 404, 422), path
        assert b"Traceback" not in answer
        assert "content-security-policy" in headers


def test_images_are_encoded_again(server: Server, send: Callable[..., Answer]) -> None:
    status, headers, body = send("GET", f"/{server.token}/image/1")
    assert (status, headers["content-type"]) == (200, "image/png")
    assert Image.open(io.BytesIO(body)).size == (40, 30)
    status, _, body = send("GET", f"/{server.token}/image/4")
    assert (status, json.loads(body)["error"]["code"]) == (422, "MM502")


# -- without HTTP ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def session(dataset: Dataset, tmp_path: Path) -> Iterator[Session]:
    with Journal(tmp_path / "j.jsonl") as journal:
        yield Session(dataset, journal, "anna")


def decide(session: Session, number: int, reviewer: str = "anna", **fields: Any) -> dict[str, Any]:
    labels = session.record(number, reviewer)["labels"]
    kind = {"kind": "edit"} if "field" in fields else {"kind": "verdict"}
    return session.decide({"reviewer": reviewer, "number": number, "labels": labels, **kind, **fields})


def test_filters_equal_a_plain_loop(session: Session, dataset: Dataset) -> None:
    every = list(dataset.samples())
    by_hand: list[tuple[dict[str, str], Callable[[Sample], bool]]] = [
        ({"source": "even"}, lambda sample: sample.source == "even"),
        ({"category": "dog"}, lambda sample: any(item.category == "dog" for item in sample.objects)),
        ({"category": "cat"}, lambda sample: any(item.category == "cat" for item in sample.objects)),
        ({"code": "MM501"}, lambda sample: sample.sample_id in ("s2", "s9")),
        ({"code": "MM5"}, lambda sample: sample.sample_id in ("s2", "s9")),
        ({"text": "CAFÉ 1"}, lambda sample: "1" in sample.caption + sample.question + sample.answer + sample.sample_id),
        ({"text": "phrase 10"}, lambda sample: sample.sample_id == "s10"),
        ({"text": "phrase"}, lambda sample: len(sample.objects) > 0),
        ({"text": "nothing has this"}, lambda sample: False),
        ({"split": "test"}, lambda sample: int(sample.sample_id[1:]) >= 8),
        ({"split": "test", "source": "odd"}, lambda sample: int(sample.sample_id[1:]) in (9, 11)),
    ]
    for query, fits in by_hand:
        found = session.queue(query)
        wanted = [number for number, sample in enumerate(every) if fits(sample)]
        assert found["numbers"] == wanted, query
        assert found["count"] == len(wanted)
    assert session.queue({}) == {"count": COUNT, "numbers": None, "start": 0}
    assert [session.index.sample(number).sample_id for number in range(COUNT)] == [one.sample_id for one in every]
    assert session.facets()["codes"] == {"MM501": [2, "image missing"]}
    assert session.overview()["sources"] == {"even": 6, "odd": 6}


def test_findings_of_a_report(dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `mmud validate --json` prints can be filtered by; the broken tag of s7 is its error."""
    assert run(["validate", str(dataset.path), "--json", "--no-images", "-q"]) == 3
    report = tmp_path / "report.json"
    report.write_text(capsys.readouterr().out, "utf-8")
    session = Session(dataset, reports=[report])
    wanted = sorted(
        {
            int(row["place"]["sample"][1:])
            for row in json.loads(report.read_text())["findings"]
            if row["code"] == "MM302"
        }
    )
    assert 7 in wanted
    assert session.queue({"code": "MM302"})["numbers"] == wanted
    assert "MM501" in session.facets()["codes"]
    report.write_text("[]", "utf-8")
    with pytest.raises(MmudError) as caught:
        Session(dataset, reports=[report])
    assert caught.value.code.id == "MM001"


def test_statuses_follow_decisions(session: Session) -> None:
    def numbers(status: str, reviewer: str = "anna") -> list[int]:
        found: list[int] = session.queue({"status": status, "reviewer": reviewer})["numbers"]
        return found

    decide(session, 1, verdict="accept")
    decide(session, 2, verdict="reject", reason="vague")
    decide(session, 3, verdict="skip")
    decide(session, 4, field="caption", text="other")
    decide(session, 1, "ben", verdict="reject")
    decide(session, 5, "ben", verdict="accept")
    assert numbers("todo") == [0, 4, 5, 6, 7, 8, 9, 10, 11]
    assert session.queue({"reviewer": "anna"})["start"] == 0
    assert session.queue({"reviewer": "ben"})["start"] == 0
    assert (numbers("accept"), numbers("reject"), numbers("skip"), numbers("edited")) == ([1], [2], [3], [4])
    assert numbers("open") == [0, 3, 4, 6, 7, 8, 9, 10, 11]
    assert (numbers("disputed"), numbers("settled")) == ([1], [])
    # What others said is not shown unless a dispute is being settled.
    assert "everybody" not in session.record(1, "anna")
    assert set(session.record(1, "anna", others=True)["everybody"]) == {"anna", "ben"}
    decide(session, 1, "carl", verdict="accept", final=True)
    assert (numbers("disputed"), numbers("settled")) == ([], [1])
    with pytest.raises(MmudError):
        session.queue({"status": "x"})


def test_undo_leads_back_and_survives_a_new_start(session: Session, dataset: Dataset) -> None:
    decide(session, 2, field="answer", text="because <OBJ-1>, here")
    assert session.record(2, "anna")["mine"]["texts"] == {"answer": "because <LCL-1>, here"}
    decide(session, 2, verdict="accept")
    decide(session, 3, verdict="skip")
    assert session.journal is not None
    entries = session.journal.entries
    path = session.journal.path
    session.journal.close()
    with Journal(path) as journal:
        again = Session(dataset, journal, "anna")
        assert [entry.kind for entry in entries] == ["edit", "verdict", "verdict"]
        assert again.record(2, "anna") == session.record(2, "anna")
        undo = {"kind": "undo", "reviewer": "anna"}
        assert (again.decide(undo)["number"], again.decide(undo)["number"]) == (3, 2)
        assert again.record(2, "anna")["mine"]["verdict"] is None
        assert again.decide(undo)["undone"] == "the edit of the answer"
        assert again.record(2, "anna")["mine"]["texts"] == {}
        assert again.decide(undo) == {"number": None}
        assert len(read_journal(path)[0]) == 6


def test_broken_tags_are_named_and_not_accepted(session: Session) -> None:
    assert decide(session, 2, field="answer", text="a <LCL-9> b <lcl 2>")["mine"]["problems"] == {
        "answer": ["<LCL-9> points at no object", "<lcl 2> is no tag"]
    }
    for field, text in (("answer", "x <LCL-3>"), ("caption", "x <LCL-1>")):
        decide(session, 2, field=field, text=text)
        with pytest.raises(MmudError) as caught:
            decide(session, 2, verdict="accept")
        assert caught.value.code.id == "MM983"
        decide(session, 2, verdict="reject", reason="tags")


def test_a_labels_only_server_keeps_nothing(dataset: Dataset) -> None:
    session = Session(dataset)
    with pytest.raises(MmudError) as caught:
        decide(session, 1, verdict="accept")
    assert caught.value.code.id == "MM984"


def test_scores_and_predictions(dataset: Dataset, tmp_path: Path) -> None:
    """Figures come from `mmud evaluate`'s own rows; a mask that equals the label has IoU 1 by definition."""
    for name, moved in (("good", False), ("bad", True)):
        folder = tmp_path / name
        folder.mkdir()
        lines = []
        for sample in dataset.samples("test"):
            masks: list[Any] = []
            for item in sample.objects:
                assert item.segmentation is not None
                array = Mask.of(item.segmentation).decode()
                shift = int(sample.sample_id[1:]) % 8 if moved else 0
                masks.append(Mask.from_array(np.roll(array, shift, axis=1)).to_json())
            if masks:
                lines.append({"sample_id": sample.sample_id, "masks": masks})
        lines.append({"sample_id": "s1", "masks": [{"size": [1, 1], "counts": "!!"}]})
        text = "".join(json.dumps(line) + "\n" for line in lines) + "no json\n"
        (folder / "referring_segmentation.jsonl").write_text(text, "utf-8")
    good = "".join(
        f"{line}\n" for line in (tmp_path / "bad" / "referring_segmentation.jsonl").read_text().splitlines()[:-2]
    )
    scored = tmp_path / "scored"
    scored.mkdir()
    (scored / "referring_segmentation.jsonl").write_text(good, "utf-8")
    assert (
        run(["evaluate", str(scored), "--data", str(dataset.path), "--split", "test", "-o", str(tmp_path / "e"), "-q"])
        == 0
    )
    session = Session(dataset, None, "", [tmp_path / "good", tmp_path / "bad"], [tmp_path / "e" / "rows.parquet"])
    assert session.overview()["systems"] == ["good", "bad"]
    (scores,) = session.overview()["scores"]
    assert scores == {"name": "gIoU of referring segmentation", "higher": True}
    # Objects are 15 pixels wide: moved by k they have IoU (15 - k) / (15 + k); 9 has no objects, so no score.
    wanted = {8: 1.0, 10: 13 / 17, 11: 12 / 18}
    for number, value in wanted.items():
        assert session.record(number, "")["scores"] == [["gIoU of referring segmentation", pytest.approx(value)]]
    assert session.queue({"score": "0", "order": "up"})["numbers"][:3] == [11, 10, 8]
    assert session.queue({"score": "0", "order": "down"})["numbers"][:3] == [8, 10, 11]
    assert session.queue({"score": "0", "low": "0.7"})["numbers"] == [8, 10]
    assert session.queue({"score": "0", "low": "0.7", "high": "0.9"})["numbers"] == [10]
    record = session.record(10, "")
    assert [layer["name"] for layer in record["layers"]] == ["good, referring", "bad, referring"]
    assert record["layers"][0]["masks"][0] == record["objects"][0]["mask"]
    assert record["layers"][1]["masks"][0] != record["objects"][0]["mask"]
    assert session.record(0, "")["layers"] == []
    # A mask that cannot be used is named, not sent.
    hostile = session.record(1, "")
    assert hostile["layers"] == []
    assert [trouble.partition(" MM8")[0] for trouble in hostile["troubles"]] == ["good:", "bad:"]


# -- the command -------------------------------------------------------------------------------------------------------------


def test_two_servers_on_one_journal_are_refused(dataset: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    with Journal(default_journal(dataset.path)):
        assert run(["review", str(dataset.path), "--port", "0"]) == 2
    assert "MM985" in capsys.readouterr().err


def test_a_taken_port_is_named(
    dataset: Dataset, server: Server, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command = ["review", str(dataset.path), "--journal", str(tmp_path / "j.jsonl"), "--port", str(server.port)]
    assert run(command) == 2
    assert "MM987" in capsys.readouterr().err


def test_ctrl_c_ends_it_well_and_kill_loses_nothing(dataset: Dataset, tmp_path: Path) -> None:
    journal = tmp_path / "kill.jsonl"
    labels = LabelIndex(dataset)

    def post(server: Server, number: int) -> None:
        from mmud.annotations.review.labels import label_hash

        body = {"kind": "verdict", "verdict": "accept", "reviewer": "anna", "number": number}
        body["labels"] = label_hash(labels.sample(number))
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        connection.request("POST", f"/{server.token}/api/decide", json.dumps(body), {"X-MMUD-Token": server.token})
        assert connection.getresponse().status == 200
        connection.close()

    with serving("review", dataset.path, "--journal", journal) as server:
        post(server, 1)
        server.kill()
    with open(journal, "ab") as stream:
        stream.write(b'{"mmud_review": 1, "id": "torn by the kill')
    with serving("review", dataset.path, "--journal", journal) as server:
        post(server, 2)
        assert server.stop() == 0
    entries, findings = read_journal(journal)
    assert [(entry.sample, entry.verdict) for entry in entries] == [("s1", "accept"), ("s2", "accept")]
    assert len(findings) == 1


def test_a_missing_package_is_named(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    for command in (
        ["review", str(dataset.path), "--journal", str(tmp_path / "j")],
        ["browse", str(dataset.path), "--serve"],
    ):
        assert run(command) == 4
        error = capsys.readouterr().err
        assert "MM007" in error
        assert "mmud[review]" in error


def test_flags_that_do_not_go_together(dataset: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        ["--serve", "--split", "test"],
        ["--open"],
        ["--predictions", "x"],
        ["--rows", "x"],
        ["--findings", "x"],
    ):
        assert run(["browse", str(dataset.path), *arguments]) == 2
        assert "MM001" in capsys.readouterr().err


def test_queries_reach_the_session(server: Server, send: Callable[..., Answer]) -> None:
    query = urlencode({"text": "café", "source": "odd", "reviewer": "nobody"})
    status, headers, body = send("GET", f"/{server.token}/api/queue?{query}")
    assert (status, headers["cache-control"]) == (200, "no-store")
    assert json.loads(body) == {"count": 6, "numbers": [1, 3, 5, 7, 9, 11], "start": 0}


def test_an_old_journal_is_not_taken_for_this_dataset(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = {
        "reviewer": "a",
        "dataset": "x",
        "sample": "gone",
        "labels": "l",
        "kind": Kind.VERDICT,
        "verdict": Verdict.SKIP,
    }
    (tmp_path / "j").write_bytes(Entry.new(**fields).to_line())
    assert run(["review", str(dataset.path), "--journal", str(tmp_path / "j"), "--port", "0"]) == 2
    assert "MM981" in capsys.readouterr().err
