"""What exporting costs: CPU seconds, peak memory and bytes written for each format, labels alone.

    python benchmarks/official_release.py -o RELEASE --no-images
    mmud build official RELEASE --images RELEASE --images link -o DIR
    python benchmarks/export.py DIR [--formats coco,official]

Each format runs in a process of its own, whose peak memory includes Python and pyarrow. `reasonseg` and `questions` need images
to be worth the name; their labels are written all the same.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mmud.commands.common import table
from mmud.dataset.exporters.base import EXPORTERS
from mmud.dataset.exporters.runner import Request, run_export
from mmud.dataset.store import Dataset


def measure(dataset: Path, name: str, output: Path) -> dict[str, float]:
    """Export once, in this process."""
    modes = EXPORTERS.get(name).image_modes
    start = time.process_time()
    report = run_export(Dataset(dataset), name, output, Request(images="none" if "none" in modes else "link"))
    return {
        "samples": sum(report.splits.values()),
        "CPU s": round(time.process_time() - start, 1),
        "peak MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "written MB": round(sum(report.files.values()) / 1e6, 1),
    }


def in_a_process(dataset: Path, name: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, str(dataset), "--formats", name, "--into", str(Path(folder) / "out")]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--formats", help="some of them, with commas between")
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.into:
        print(json.dumps(measure(arguments.dataset, arguments.formats, arguments.into)))
        return
    names = arguments.formats.split(",") if arguments.formats else [n for n in EXPORTERS if n != "parquet"]
    rows = [[name, *in_a_process(arguments.dataset, name).values()] for name in names]
    print(table(["format", "samples", "CPU s", "peak MB", "written MB"], rows))


if __name__ == "__main__":
    main()
