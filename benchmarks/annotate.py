"""Drafting against a server of our own on this machine: wall time beside the ideal of the concurrency, and peak memory.

    python benchmarks/annotate.py [--samples 1000] [--latency 0.2] [--concurrency 32] [--tasks caption]

The server answers every request after the latency, however many there are, in a process of its own. The ideal is requests times
latency divided by the concurrency. Images are 640 x 480 JPEGs with four objects each. Asking is the time from the first request
to the last answer, as the server sees it; the whole is the command, from starting Python to the written dataset; the memory is
the peak of its process.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

if TYPE_CHECKING:
    from mmud.records import Sample

ROOT = Path(__file__).resolve().parent.parent
WIDTH, HEIGHT = 640, 480


def samples(count: int) -> Iterator[Sample]:
    """Images as soft as photographs, each with four boxes whose masks are their boxes."""
    import numpy as np
    from PIL import Image

    from mmud.annotations.masks import Mask
    from mmud.records import ImageReference, MaskedObject, Sample

    draw = np.random.default_rng(0)
    objects = []
    for number in range(4):
        left, top = 20 + 150 * number, 40 + 90 * number
        filled = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
        filled[top : top + 80, left : left + 120] = 1
        mask = Mask.from_array(filled).to_record()
        box = (float(left), float(top), 120.0, 80.0)
        objects.append(MaskedObject(segmentation=mask, bbox=box, area=9600.0, category=f"thing {number}"))
    for number in range(count):
        coarse = Image.fromarray(draw.integers(0, 256, (15, 20, 3), dtype=np.uint8))
        stream = io.BytesIO()
        coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
        yield Sample(
            sample_id=f"made-{number}",
            image=ImageReference(bytes=stream.getvalue(), path=f"{number}.jpg"),
            width=WIDTH,
            height=HEIGHT,
            source="made",
            objects=tuple(objects),
        )


def make(folder: Path, count: int) -> None:
    """Write the dataset: in a process of its own, whose memory would be counted as that of every later one else."""
    from mmud.dataset.writer import write_dataset

    write_dataset(folder, {"train": samples(count)})


def serve(latency: float) -> None:
    """Answer until the input ends; prints the endpoint first, and the seconds from first request to last answer at the end."""
    sys.path.insert(0, str(ROOT / "tests"))
    from chat_service import drafted, serving

    times: list[float] = []

    def answer(body: dict[str, Any]) -> str:
        times.append(time.monotonic())
        return drafted(body)

    with serving(answer, latency) as service:
        service.keeps_requests = False
        print(service.endpoint, flush=True)
        sys.stdin.read()
    print(max(times) - min(times) + latency if times else 0.0)


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, float]:
    data = folder / "data"
    this = [sys.executable, __file__]
    subprocess.run([*this, "--make", str(data), "--samples", str(arguments.samples)], check=True)
    server = subprocess.Popen(
        [*this, "--serve", "--latency", str(arguments.latency)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    assert server.stdin is not None
    try:
        endpoint = server.stdout.readline().strip()
        command = [
            sys.executable,
            str(ROOT / "cli.py"),
            "annotate",
            str(data),
            "-o",
            str(folder / "out"),
            "--json",
        ]
        command += ["--endpoint", endpoint, "--model", "made", "--concurrency", str(arguments.concurrency)]
        start = time.perf_counter()
        process = subprocess.Popen([*command, "--tasks", arguments.tasks, "-q"], stdout=subprocess.PIPE)
        assert process.stdout is not None
        report = json.loads(process.stdout.read())
        process.stdout.close()
        # Its own peak, which the sum over all children would not tell.
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        server.stdin.close()
        asking = float(server.stdout.read() or 0)
        server.wait()
        server.stdout.close()
    if process.returncode != 0:
        raise SystemExit(f"mmud annotate ended with {process.returncode}")
    requests = report["usage"]["requests"]
    drafts = arguments.samples * len(arguments.tasks.split(","))
    if requests != drafts or sum(report["drafted"].values()) != drafts:
        raise SystemExit(f"{requests} requests and {report['drafted']} drafts, not {drafts}")
    ideal = math.ceil(requests / arguments.concurrency) * arguments.latency
    return {
        "requests": requests,
        "ideal s": ideal,
        "asking s": asking,
        "asking / ideal": asking / ideal,
        "whole s": wall,
        "whole / ideal": wall / ideal,
        "CPU s": used.ru_utime + used.ru_stime,
        "peak MB": used.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--latency", type=float, default=0.2)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--tasks", default="caption,question")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make is not None:
        make(arguments.make, arguments.samples)
        return
    if arguments.serve:
        serve(arguments.latency)
        return
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(arguments, Path(folder))
    print(f"{arguments.samples:,} samples, {arguments.latency:g} s latency, concurrency {arguments.concurrency}")
    for name, value in figures.items():
        print(f"  {name:14}{value:10,.2f}" if name != "requests" else f"  {name:14}{value:10,.0f}")


if __name__ == "__main__":
    main()
