"""The review page in headless Chromium: a person's whole round, hostile texts, two reviewers and their dispute, predictions."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from review_server import chromium_page, refer, serving, shown

from mmud.annotations.masks import Mask
from mmud.annotations.review.journal import read_journal
from mmud.cli import run
from mmud.dataset.store import Dataset
from mmud.dataset.writer import write_dataset
from mmud.records import ImageReference, MaskedObject, Sample

pytestmark = pytest.mark.browser

HOSTILE = [
    "<img src=x onerror=\"window.owned=1;alert('owned')\">",
    "</script><script>window.owned=1;alert('owned')</script>",
    '</textarea></title></style><svg onload="window.owned=1"><iframe srcdoc="<script>parent.owned=1</script>">',
    "javascript:window.owned=1//\u2028window.owned=1\u2029alert(1)",
    "{{ token }} {% raw %} ${window.owned=1} `+alert(1)+` \u0000 \ufeff \u202e &lt;b&gt; <!-- --> ]]>",
    "<LCL-1 onmouseover=window.owned=1> <LCL-1><b>bold</b><LCL-2>",
]
HEIGHT, WIDTH = 120, 160


def picture(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 120, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def box(top: int, left: int) -> Mask:
    array = np.zeros((HEIGHT, WIDTH), np.uint8)
    array[top : top + 40, left : left + 50] = 1
    return Mask.from_array(array)


def sample(number: int, **fields: Any) -> Sample:
    values: dict[str, Any] = {
        "caption": f"A red box stands left of a blue box, number {number}.",
        "question": "Which box is nearer to the left edge?",
        "answer": "The red box is nearer than the blue box <LCL-2>.",
        "objects": tuple(
            MaskedObject(phrases=(name,), segmentation=box(*place).to_record(), category="box", bbox=box(*place).bbox)
            for name, place in (("the red box", (20, 10)), ("the blue box", (60, 90)))
        ),
    }
    return Sample(
        sample_id=f"s{number}",
        image=ImageReference(bytes=picture(number), path=f"{number}.png"),
        width=WIDTH,
        height=HEIGHT,
        source="made",
        **(values | fields),
    )


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.setenv("MMUD_CACHE", str(tmp_path / "cache"))
    return write_dataset(tmp_path / "boxes", {"train": [sample(number) for number in range(6)]})


def select(page: Any, field: str, words: str) -> None:
    """Select words of a text as a drag of the mouse would."""
    found = page.evaluate(
        """([field, words]) => {
            const view = document.querySelector(`[data-field=${field}] .text`);
            for (const node of view.childNodes) {
                const at = node.nodeType === 3 ? node.textContent.indexOf(words) : -1;
                if (at < 0) continue;
                const range = document.createRange();
                range.setStart(node, at); range.setEnd(node, at + words.length);
                getSelection().removeAllRanges(); getSelection().addRange(range);
                return true;
            }
            return false;
        }""",
        [field, words],
    )
    assert found


def text_of(page: Any, field: str) -> str:
    """What a field says, tags in their own form."""
    found: str = page.evaluate(
        """(field) => [...document.querySelector(`[data-field=${field}] .text`).childNodes]
            .map((node) => node.dataset?.raw ?? node.textContent).join("")""",
        field,
    )
    return found


def click_object(page: Any, x: int, y: int) -> None:
    area = page.locator("#picture canvas").bounding_box()
    page.mouse.click(area["x"] + area["width"] * x / WIDTH, area["y"] + area["height"] * y / HEIGHT)


def test_a_persons_whole_round(dataset: Dataset, tmp_path: Path) -> None:
    journal = tmp_path / "round.jsonl"
    command = ("review", dataset.path, "--journal", journal)
    with chromium_page() as page:
        with serving(*command) as server:
            page.goto(server.address)
            # The page asks for a name before anything else, and goes on without a mouse.
            page.wait_for_selector("#name-dialog[open]")
            page.keyboard.type("anna")
            page.keyboard.press("Enter")
            shown(page, "s0")
            assert page.text_content("#open-name") == "anna"
            # A tag and its object light up together.
            page.hover("[data-field=answer] .tag")
            assert page.locator("#objects .lit").get_attribute("data-object") == "2"
            page.hover("h1")
            # Words are selected, the object in the image is clicked: they are tagged.
            select(page, "answer", "red box")
            click_object(page, 30, 40)
            page.wait_for_selector("#toast:has-text('“red box” means object 1.')")
            assert text_of(page, "answer") == "The red box <LCL-1> is nearer than the blue box <LCL-2>."
            assert page.locator("[data-field=answer] .mark").is_visible()
            # The same once more takes it away; the number key puts it back.
            select(page, "answer", "The red box")
            click_object(page, 30, 40)
            page.wait_for_selector("#toast:has-text('no longer means object 1')")
            assert text_of(page, "answer") == "The red box is nearer than the blue box <LCL-2>."
            select(page, "answer", "red box")
            page.keyboard.press("1")
            page.wait_for_selector("#toast:has-text('means object 1')")
            # Accept goes on to the next sample.
            page.keyboard.press("a")
            shown(page, "s1")
            # A text is edited in place by keyboard alone, and a tag set with Alt and a number.
            page.keyboard.press("e")
            page.keyboard.press("Control+A")
            page.keyboard.type("Look: the blue one")
            page.keyboard.press("Alt+2")
            page.keyboard.press("Escape")
            page.wait_for_selector("[data-field=answer] .tag")
            assert text_of(page, "answer") == "Look: the blue one <LCL-2>"
            # A broken tag is named at once, and cannot be accepted.
            page.keyboard.press("e")
            page.keyboard.press("End")
            page.keyboard.type(" <LCL-7>")
            page.keyboard.press("Control+Enter")
            page.wait_for_selector(".field.broken .problem:has-text('<LCL-7> points at no object')")
            page.keyboard.press("a")
            page.wait_for_selector("#toast.bad:has-text('MM983')")
            assert page.get_attribute("html", "data-shown") == "s1"
            page.keyboard.press("u")
            page.wait_for_selector("#toast:has-text('Undone: the edit of the answer.')")
            shown(page, "s1")
            # Reject with a reason of the list, then of one's own.
            page.keyboard.press("r")
            page.wait_for_selector("#reject-dialog[open]")
            page.keyboard.press("2")
            shown(page, "s2")
            page.keyboard.press("r")
            page.fill("#reason", "the box is green")
            page.keyboard.press("Enter")
            shown(page, "s3")
            page.keyboard.press("s")
            shown(page, "s4")
            page.wait_for_selector("#tally:has-text('1 accepted, 2 rejected, 1 skipped, 2 to do')")
            # Undo leads back to the skipped sample.
            page.keyboard.press("u")
            shown(page, "s3")
            page.wait_for_selector("#tally:has-text('1 accepted, 2 rejected, 0 skipped, 3 to do')")
            # Filters: what was rejected, then all again.
            page.keyboard.press("f")
            page.select_option("#status", "reject")
            page.wait_for_selector("#of:has-text('of 2')")
            page.wait_for_selector("#verdict:has-text('rejected: answerable without the image')")
            page.click("#clear")
            page.wait_for_selector("#of:has-text('of 6')")
            shown(page, "s3")
            page.keyboard.press("?")
            page.wait_for_selector("#help-dialog[open]")
            page.keyboard.press("Escape")
            server.kill()
        # After a power cut: another server, another page, and the work goes on at the first sample left.
        with serving(*command, "--reviewer", "anna") as server:
            page.goto(server.address)
            shown(page, "s3")
            page.wait_for_selector("#tally:has-text('1 accepted, 2 rejected, 0 skipped, 3 to do')")
            for _ in range(3):
                page.keyboard.press("k")
            shown(page, "s0")
            assert text_of(page, "answer") == "The red box <LCL-1> is nearer than the blue box <LCL-2>."
            assert page.text_content("#verdict") == "accepted"
            assert server.stop() == 0
        # The kill is noted nowhere on the page; a lost server is told once, and never loses a text.
        assert [problem for problem in page.problems if "409" not in problem] == []
    entries, findings = read_journal(journal)
    assert findings == []
    assert {entry.reviewer for entry in entries} == {"anna"}
    out = tmp_path / "next"
    assert run(["review", str(dataset.path), "--journal", str(journal), "--apply", "-o", str(out), "-q"]) == 0
    made = Dataset(out)
    assert [one.sample_id for one in made.samples()] == ["s0", "s3", "s4", "s5"]
    assert made.find("s0").answer == "The red box <LCL-1> is nearer than the blue box <LCL-2>."
    assert made.find("s0").provenance["labels"]["answer"]["edits"][0]["by"] == "anna"
    assert run(["validate", str(out), "--select", "MM3", "--no-images", "-q"]) == 0


def test_a_text_that_cannot_be_kept_stays_open(dataset: Dataset, tmp_path: Path) -> None:
    with (
        chromium_page() as page,
        serving("review", dataset.path, "--journal", tmp_path / "j", "--reviewer", "anna") as server,
    ):
        page.goto(server.address)
        shown(page, "s0")
        server.kill()
        page.keyboard.press("c")
        page.keyboard.press("Control+A")
        page.keyboard.type("hours of work")
        page.keyboard.press("Escape")
        page.wait_for_selector("#toast.bad:has-text('does not answer')")
        assert page.input_value("[data-field=caption] textarea") == "hours of work"
        assert page.locator("[data-field=caption] textarea").is_visible()


@pytest.mark.parametrize("mode", ["review", "browse"])
def test_hostile_texts_stay_texts(mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMUD_CACHE", str(tmp_path / "cache"))
    objects = sample(0).objects
    hostile = [
        sample(
            number,
            caption=text,
            question=text,
            answer=text,
            license=text,
            provenance={"x": text, text: 1},
            objects=tuple(item.model_copy(update={"phrases": (text,), "category": text}) for item in objects),
        )
        for number, text in enumerate(HOSTILE)
    ]
    made = write_dataset(tmp_path / "hostile <img src=x onerror=alert(1)>", {"train": hostile}, name=HOSTILE[1])
    note = {"code": "MM501", "message": HOSTILE[0], "place": {"sample": "s0"}}
    (made.path / "findings.jsonl").write_text(json.dumps(note) + "\n", "utf-8")
    predictions = tmp_path / "system"
    predictions.mkdir()
    lines = [json.dumps({"sample_id": f"s{number}", "caption": text}) + "\n" for number, text in enumerate(HOSTILE)]
    (predictions / "captioning.jsonl").write_text("".join(lines), "utf-8")
    own = ("review", made.path, "--journal", tmp_path / "j", "--reviewer", "<b>anna</b>")
    arguments = own if mode == "review" else ("browse", made.path, "--serve")
    with chromium_page() as page, serving(*arguments, "--predictions", predictions) as server:
        page.goto(server.address)
        for number, text in enumerate(HOSTILE):
            shown(page, f"s{number}")
            for field in ("question", "answer", "caption"):
                assert text_of(page, field) == text
            assert text_of(page, "said") == text
            assert page.locator("#objects .object").first.text_content() == f"1 {text} {text}"
            page.hover("#objects .object >> nth=0")
            if mode == "review":
                page.keyboard.press("c")
                assert page.input_value("[data-field=caption] textarea") == text
                page.keyboard.press("End")
                page.keyboard.type("!")
                page.keyboard.press("Escape")
                page.wait_for_selector("[data-field=caption] .mark:visible")
                page.click("[data-field=caption] button:has-text('compare')")
                page.hover("h1")
            page.keyboard.press("j")
        page.keyboard.press("f")
        page.fill("#text", HOSTILE[0][:10])
        page.wait_for_selector("#of:has-text('of 1')")
        if mode == "review":
            page.click("#open-agreement")
            page.wait_for_selector("#agreement td:has-text('<b>anna</b>')")
        assert page.title() == HOSTILE[1]
        assert page.evaluate("window.owned") is None
        assert page.evaluate("document.querySelectorAll('iframe, b.x, svg, script:not([src])').length") == 0
        # The page's own policy holds even for its own mistakes.
        assert (
            page.evaluate(
                "() => { try { document.body.innerHTML = '<p>'; return 'set'; } catch (error) { return error.name; } }"
            )
            == "TypeError"
        )
        assert [problem for problem in page.problems if "TrustedHTML" not in problem] == []


def verdicts(page: Any, keys: str) -> None:
    """Decide on samples from the first on, each a key."""
    for number, key in enumerate(keys, start=1):
        page.keyboard.press(key)
        if key == "r":
            page.wait_for_selector("#reject-dialog[open]")
            page.keyboard.press("1")
        if number < len(keys):
            shown(page, f"s{number}")
    page.wait_for_selector("#toast:has-text('This was the last one here.')")


def test_two_reviewers_and_their_dispute(dataset: Dataset, tmp_path: Path) -> None:
    journal = tmp_path / "two.jsonl"
    with serving("review", dataset.path, "--journal", journal) as server, chromium_page() as anna:
        ben = anna.context.browser.new_context().new_page()
        for page, name, keys in ((anna, "anna", "aaaarr"), (ben, "ben", "aaarrr")):
            page.goto(server.address)
            page.fill("#name", name)
            page.keyboard.press("Enter")
            shown(page, "s0")
            verdicts(page, keys)
        # Before settling, neither sees what the other said.
        assert not ben.locator("#dispute").is_visible()
        anna.keyboard.press("g")
        anna.wait_for_selector("#agreement-dialog[open]")
        rows = anna.locator("#agreement table").nth(1).inner_text()
        # By hand: 5 of 6 equal; p_e = (4*3 + 2*3) / 36 = 1/2; kappa = 2/3.
        assert "anna and ben\t6\t0.83\t0.67" in rows
        anna.click("#show-disputes")
        anna.wait_for_selector("#of:has-text('of 1')")
        anna.wait_for_selector("#dispute:has-text('The reviewers differ in their verdict.')")
        shown(anna, "s3")
        anna.click("#dispute button:has-text('Reject it')")
        anna.wait_for_selector("#verdict:has-text('rejected, settled')")
        assert anna.problems == []
    out = tmp_path / "next"
    assert run(["review", str(dataset.path), "--journal", str(journal), "--apply", "-o", str(out), "-q"]) == 0
    assert [one.sample_id for one in Dataset(out).samples()] == ["s0", "s1", "s2"]


def test_predictions_are_drawn_over_the_labels(dataset: Dataset, tmp_path: Path) -> None:
    for name, shift in (("first", 0), ("second", 30)):
        folder = tmp_path / name
        folder.mkdir()
        masks = [box(20, 10 + shift).to_json(), None]
        lines = [json.dumps({"sample_id": f"s{number}", "masks": masks}) + "\n" for number in range(6)]
        (folder / "referring_segmentation.jsonl").write_text("".join(lines), "utf-8")
    systems = ("--predictions", tmp_path / "first", "--predictions", tmp_path / "second")
    with chromium_page() as page, serving("browse", dataset.path, "--serve", *systems) as server:
        page.goto(server.address)
        shown(page, "s0")
        assert not page.locator("#accept").is_visible()

        def alpha(x: int, y: int) -> int:
            found: int = page.evaluate(
                "([x, y]) => document.querySelector('#picture canvas').getContext('2d').getImageData(x, y, 1, 1).data[3]",
                [x, y],
            )
            return found

        # Inside the label alone, on the second system's right edge outside the label, and outside everything.
        assert (alpha(20, 40) > 0, alpha(150, 100)) == (True, 0)
        edge = [alpha(89, y) for y in range(20, 60)]
        assert max(edge) == 255
        page.locator("#layers input").nth(2).uncheck()
        assert max(alpha(89, y) for y in range(20, 60)) == 0
        page.locator("#layers input").nth(0).uncheck()
        # The first system's outline is where the label's was, and nothing is filled.
        assert alpha(35, 40) == 0
        assert max(alpha(10, y) for y in range(20, 60)) == 255
        page.keyboard.press("j")
        shown(page, "s1")
        assert page.problems == []


@pytest.fixture
def photos(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.setenv("MMUD_CACHE", str(tmp_path / "cache"))
    assert run(["build", *refer(shared_data), "-o", str(tmp_path / "photos"), "-q"]) == 0
    return Dataset(tmp_path / "photos")


@pytest.mark.data
def test_real_photographs_light_up_where_their_masks_are(photos: Dataset, tmp_path: Path) -> None:
    """The browser's own decoding of each mask against pycocotools', pixel by pixel."""
    first = photos.splits[0]
    with chromium_page() as page, serving("browse", photos.path, "--serve") as server:
        page.goto(server.address)
        for number in range(photos.length(first)):
            one = photos.sample(first, number)
            shown(page, one.sample_id)
            for index, item in enumerate(one.objects):
                if item.segmentation is None:
                    continue
                area = page.evaluate(
                    "([number, index]) => fetch(`api/sample/${number}`).then((answer) => answer.json())"
                    ".then((record) => { const plane = planeOf(record.objects[index].mask);"
                    " return [plane.area, plane.pixels.reduce((sum, bit, at) => (sum + bit * (at % 9973)) % 1000003, 0)]; })",
                    [number, index],
                )
                mask = Mask.of(item.segmentation)
                pixels = mask.decode().ravel().astype(np.int64)
                assert area == [mask.area, int((pixels * (np.arange(len(pixels)) % 9973)).sum() % 1000003)]
            page.keyboard.press("j")
        assert page.problems == []
