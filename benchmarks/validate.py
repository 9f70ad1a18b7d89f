"""How fast `mmud validate` is: labels alone, and images against Pillow's decoding alone.

    python benchmarks/validate.py [--records 36489] [--images FOLDER] [--image-records 1000]

Labels: a made-up dataset of the official release's size, three objects a record, polygons of about 30 points drawn on 640 x 480,
captions of about 120 words. Images: the JPEG files of a folder, again and again; the same bytes decoded by Pillow in full
(``Image.open(…).load()``) are the measure. CPU seconds of this process; peak memory is that of a process which does nothing else.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from mmud.annotations.masks import Mask
from mmud.dataset.checks.engine import validate
from mmud.dataset.writer import write_dataset
from mmud.records import ImageReference, MaskedObject, Sample

TEXT = "a dog stands near the old wooden table while two people in red jackets talk under tall trees beside parked cars"
WORDS = TEXT.split()
HEIGHT, WIDTH = 480, 640


def outlines(count: int, seed: int) -> list[tuple[list[float], Mask]]:
    """Star-shaped outlines of 24 to 36 points, and their masks."""
    generator = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        points = int(generator.integers(24, 37))
        angles = np.sort(generator.random(points)) * 2 * np.pi
        radius = generator.uniform(20, 110) * generator.uniform(0.7, 1.0, points)
        centre = generator.uniform((120, 120), (WIDTH - 120, HEIGHT - 120))
        polygon = (
            (centre + np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius[:, None]).round(2).ravel().tolist()
        )
        made.append((polygon, Mask.from_polygons([polygon], HEIGHT, WIDTH)))
    return made


def samples(count: int, images: list[bytes], first: int = 0) -> Iterator[Sample]:
    """Records like the official release's: three objects, two phrases each, a long caption, a tagged answer."""
    generator = np.random.default_rng(first)
    shapes = outlines(3000, 7)
    for number in range(first, first + count):
        objects = []
        for position in range(3):
            polygon, mask = shapes[(number * 7 + position * 31) % len(shapes)]
            name = f"{WORDS[(number + position) % len(WORDS)]} thing {position}"
            objects.append(
                MaskedObject(
                    phrases=(f"the {name}", f"{name} on side {position}"),
                    segmentation=mask.to_record(),
                    polygons=(tuple(polygon),),
                    bbox=mask.bbox,
                    area=float(mask.area),
                    category=name,
                    category_id=position,
                    ann_id=3 * number + position,
                )
            )
        caption = " ".join(WORDS[i] for i in generator.integers(0, len(WORDS), 120)) + f" number {number}."
        data = images[number % len(images)] if images else None
        width, height = Image.open(io.BytesIO(data)).size if data else (WIDTH, HEIGHT)
        names = [item.category for item in objects]
        yield Sample(
            sample_id=f"s{number}",
            image=ImageReference(bytes=data, path=f"{number}.jpg"),
            width=width,
            height=height,
            source="made",
            source_image_id=str(number),
            caption=caption,
            question=f"Which of the things in the image would matter most to person {number}, and why?",
            answer=f"The {names[0]} <LCL-1> and the {names[1]} <LCL-2>, near {names[2]} <LCL-3>.",
            objects=tuple(objects) if (width, height) == (WIDTH, HEIGHT) else (),
            license="CC0-1.0",
        )


def cpu(action: object) -> float:
    start = time.process_time()
    action()  # type: ignore[operator]
    return time.process_time() - start


def measured(folder: Path, images: bool) -> dict[str, float]:
    """Validate in a process of its own: CPU seconds of the validation, and the process's peak memory in MB."""
    command = [sys.executable, __file__, "--only", str(folder), *(["--with-images"] if images else [])]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def peak_megabytes() -> float:
    """This process's peak; ru_maxrss alone would count what the parent held when it started this process."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1 << 20)


def only(folder: Path, images: bool) -> None:
    with_report = {}

    def run() -> None:
        with validate(folder, images=images) as report:
            with_report.update(findings=report.total, samples=report.tally.samples)

    seconds = cpu(run)
    print(json.dumps({"seconds": seconds, "peak_mb": peak_megabytes(), **with_report}))


def image_speed(scratch: Path, images: Path, records: int) -> tuple[float, float, dict[str, float], int]:
    """Records with images, their decoding included: share of Pillow's speed, Pillow's CPU seconds, ours with its peak, how many
    files there are. The median of three."""
    files = [file.read_bytes() for file in sorted(images.rglob("*.jpg"))]
    folder = scratch / "images"
    write_dataset(folder, {"train": samples(records, files)}, images="embed")
    ratios = []
    for _ in range(3):
        alone = cpu(lambda: [Image.open(io.BytesIO(files[i % len(files)])).load() for i in range(records)])
        found = measured(folder, images=True)
        ratios.append((alone / found["seconds"], alone, found))
    ratio, alone, found = sorted(ratios, key=lambda entry: entry[0])[1]
    return ratio, alone, found, len(files)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=36_489)
    parser.add_argument("--images", type=Path, help="a folder of JPEG files, searched with its subfolders")
    parser.add_argument("--image-records", type=int, default=1_000)
    parser.add_argument("--only", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--with-images", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only is not None:
        only(arguments.only, arguments.with_images)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "labels"
        held_out = arguments.records // 26
        write_dataset(
            folder,
            {"train": samples(arguments.records - held_out, []), "valid": samples(held_out, [], arguments.records)},
            images="link",
        )
        found = measured(folder, images=False)
        rate = found["samples"] / found["seconds"]
        print(
            f"labels of {found['samples']:,} records, 3 objects each: {found['seconds']:.1f} CPU s "
            f"({rate:,.0f} records/s), peak {found['peak_mb']:.0f} MB, {found['findings']:,} findings"
        )
        if arguments.images is None:
            return
        ratio, alone, found, files = image_speed(Path(scratch), arguments.images, arguments.image_records)
        print(
            f"{arguments.image_records:,} records with {files} real images: Pillow alone {alone:.2f} CPU s, validate "
            f"{found['seconds']:.2f} CPU s: {100 * ratio:.0f} % of Pillow's speed (median of 3), peak {found['peak_mb']:.0f} MB"
        )


if __name__ == "__main__":
    main()
