"""How fast the review page is: opening a dataset of the official release's size, and showing the next sample.

    python benchmarks/review.py [--samples 36489] [--images FOLDER] [--steps 40] [--keep DIR]

A made-up dataset (three objects a sample, outlines of about 30 points on 640 x 480, captions of about 120 words) whose images
are linked JPEG files of 640 x 480: those of FOLDER, or made ones. Wall-clock times in headless Chromium, by the browser's own
clock: opening is from the start of the navigation until the first sample is painted; the next sample is from the key's own time
stamp until the sample with image, masks and texts is painted. Aims: opened in under 1 s, the next sample in under 100 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright
from validate import HEIGHT, WIDTH, samples

from mmud.dataset.label_index import LabelIndex
from mmud.dataset.store import Dataset
from mmud.dataset.writer import write_dataset
from mmud.records import ImageReference, Sample

ROOT = Path(__file__).resolve().parents[1]
OPEN_AIM, NEXT_AIM = 1000.0, 100.0
CHROMIUM_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def photographs(folder: Path | None, scratch: Path) -> list[Path]:
    """JPEG files of 640 x 480: a folder's, or a dozen made ones with as much detail as a photograph's."""
    found = []
    for file in sorted(folder.rglob("*.jpg")) if folder else []:
        with Image.open(file) as picture:
            if picture.size == (WIDTH, HEIGHT):
                found.append(file.resolve())
    for number in range(0 if found else 12):
        generator = np.random.default_rng(number)
        small = generator.integers(0, 255, (60, 80, 3), dtype=np.uint8)
        file = scratch / f"{number}.jpg"
        Image.fromarray(small).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(file, quality=92)
        found.append(file)
    return found


def linked(count: int, files: list[Path]) -> Iterator[Sample]:
    for number, sample in enumerate(samples(count, [])):
        yield sample.model_copy(update={"image": ImageReference(path=str(files[number % len(files)]))})


def start(dataset: Path, journal: Path) -> tuple[subprocess.Popen[str], str, float]:
    """A server, the address of its page, and the seconds until it said so."""
    command = [sys.executable, str(ROOT / "cli.py"), "review", str(dataset), "--journal", str(journal)]
    begun = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--reviewer", "benchmark", "--port", "0", "--json", "-q"], stdout=subprocess.PIPE, text=True
    )
    said = ""
    while process.stdout is not None and not said.endswith("}\n"):
        line = process.stdout.readline()
        if not line:
            raise SystemExit("the server did not start")
        said += line
    return process, json.loads(said)["address"], time.perf_counter() - begun


def painted(page: Any, count: int) -> list[dict[str, float]]:
    """The page's own measures, once there are so many."""
    while True:
        found: list[dict[str, float]] = page.evaluate(
            "performance.getEntriesByName('mmud-show').map((one) => ({start: one.startTime, took: one.duration}))"
        )
        if len(found) >= count:
            return found
        page.wait_for_timeout(5)


def measure(address: str, steps: int) -> dict[str, list[float]]:
    """Milliseconds: of openings, and of next samples with a pause for prefetching, at once, and by accepting."""
    found: dict[str, list[float]] = {"open": [], "next, paced": [], "next, at once": [], "accept, paced": []}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_ARGUMENTS)
        for _ in range(3):
            # A fresh context has an empty cache.
            page = browser.new_context(viewport={"width": 1280, "height": 860}).new_page()
            page.goto(address, wait_until="commit")
            first = painted(page, 1)[0]
            found["open"].append(first["start"] + first["took"])
            page.close()
        page = browser.new_context(viewport={"width": 1280, "height": 860}).new_page()
        page.goto(address)
        done = len(painted(page, 1))
        for name, key, pause in (("next, paced", "j", 300), ("next, at once", "j", 0), ("accept, paced", "a", 300)):
            for _ in range(steps):
                page.wait_for_timeout(pause)
                page.keyboard.press(key)
                done += 1
                found[name].append(painted(page, done)[-1]["took"])
        browser.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=36_489)
    parser.add_argument("--images", type=Path, help="a folder of JPEG files; those of 640 x 480 are used")
    parser.add_argument("--steps", type=int, default=40, help="how often each kind of step is taken")
    parser.add_argument("--keep", type=Path, help="make the dataset here, or take the one that is here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)
        os.environ["MMUD_CACHE"] = str(scratch / "cache")
        folder = (arguments.keep or scratch) / "dataset"
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            files = photographs(arguments.images, folder.parent)
            write_dataset(folder, {"train": linked(arguments.samples, files)}, images="link")
        begun = time.perf_counter()
        total = len(LabelIndex(Dataset(folder)))
        print(f"{total:,} samples; the labels' memory-mapped copy, made once: {time.perf_counter() - begun:.2f} s")
        process, address, seconds = start(folder, scratch / "journal.jsonl")
        try:
            print(f"`mmud review` from its start to its address: {seconds:.2f} s")
            found = measure(address, arguments.steps)
            memory = Path(f"/proc/{process.pid}/status")
            if memory.exists():
                peak = next(line for line in memory.read_text().splitlines() if line.startswith("RssAnon"))
                print(f"the server's own memory at the end: {int(peak.split()[1]) / 1024:.0f} MB")
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)
    print(f"{'milliseconds':<16}{'median':>8}{'95 %':>8}{'worst':>8}  aim")
    for name, values in found.items():
        ordered = sorted(values)
        aim = OPEN_AIM if name == "open" else NEXT_AIM
        high = ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]
        verdict = "met" if ordered[-1] < aim else "met at the median" if statistics.median(ordered) < aim else "missed"
        print(
            f"{name:<16}{statistics.median(ordered):>8.0f}{high:>8.0f}{ordered[-1]:>8.0f}  under {aim:.0f}: {verdict}"
        )


if __name__ == "__main__":
    main()
