"""The paper's claims, measured: parameter efficiency, throughput, and ablations of neural tuning.

    python benchmarks/claims.py --data DIR -o OUT                          all three blocks
    python benchmarks/claims.py efficiency --data DIR -o OUT --steps 400   single blocks, with a budget of their own
    python benchmarks/claims.py throughput --data DIR -o OUT --model RUN   a run of `mmud train` that is there already
    python benchmarks/claims.py --data DIR -o OUT --quick                  to see that everything runs; proves nothing

Each block says first how long it will take. Results are kept in OUT as they come: the same command goes on where it was
interrupted, or where `--minutes` ended it (exit code 3). Each block ends with OUT/BLOCK.md and OUT/BLOCK.json. Two processes may
work on efficiency and ablations, or on the arms neural-tuning and lora (--arms), in one folder; throughput without --model trains
the model that ablations begin with, and so works alone. docs/claims.md says what is measured.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from measuring import one_thread

one_thread()

import claims_ablations as ablations  # noqa: E402
import claims_efficiency as efficiency  # noqa: E402
from claims_runs import Harness, NoComparison, OutOfTime, Run, Runs, clock, digest_of_sources  # noqa: E402

UNFINISHED = 3


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def numbers(convert: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    """Comma-separated, each once."""

    def parse(text: str) -> tuple[Any, ...]:
        return tuple(dict.fromkeys(convert(part) for part in text.split(",")))

    return parse


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("block", nargs="*", help="efficiency, throughput, ablations; all three when none is named")
    made.add_argument(
        "--data", type=Path, required=True, help="a dataset with train, valid and test, and all four tasks"
    )
    made.add_argument(
        "-o", "--output", type=Path, default=Path("claims"), help="folder of the results (default: claims)"
    )
    made.add_argument("--quick", action="store_true", help="6 steps, 2 seeds, 2 budgets, 8 samples: proves nothing")
    made.add_argument("--minutes", type=float, help="begin no run after so many minutes; the same command goes on")
    made.add_argument("--samples", type=int, help="score the first samples of valid and test alone")
    made.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="option of every run, as of `mmud train`"
    )
    runs = made.add_argument_group("training")
    runs.add_argument("--steps", type=int, default=250)
    runs.add_argument("--batch", type=int, default=16)
    runs.add_argument("--seeds", type=int, default=3, help="how many (default: 3)")
    runs.add_argument("--budgets", type=numbers(int), default=(8, 16, 32, 64, 128), help="dimensions of the network")
    runs.add_argument("--rates", type=numbers(float), default=(1e-3, 3e-3, 1e-2), help="grid of the adapter's rate")
    runs.add_argument("--head-rates", type=numbers(float), default=(5e-4, 1e-3, 2e-3), help="grid of the heads' rate")
    runs.add_argument("--arms", type=numbers(str), default=efficiency.ARMS, help=f"of {', '.join(efficiency.ARMS)}")
    runs.add_argument(
        "--settings", type=numbers(str), default=ablations.SETTINGS, help=f"of {', '.join(ablations.SETTINGS)}"
    )
    runs.add_argument("--ablation-rate", type=float, help="rate of the adapter in ablations (default: the preset's)")
    speed = made.add_argument_group("throughput")
    speed.add_argument("--model", type=Path, metavar="RUN", help="of neural-tuning; trained first when left out")
    speed.add_argument(
        "--repeats", type=int, default=2, help="runs of each way, of which the least counts (default: 2)"
    )
    speed.add_argument(
        "--large-answers", type=int, default=16, help="on a GPU: captions at the size of the paper's model"
    )
    speed.add_argument("--large-tokens", type=int, default=100, help="on a GPU: tokens of each")
    return made


BLOCKS = ("efficiency", "throughput", "ablations")


def checked(options: argparse.Namespace, made: argparse.ArgumentParser) -> argparse.Namespace:
    """Names that exist, and what --quick stands for."""
    options.block = options.block or list(BLOCKS)
    for given, known in (
        (options.block, BLOCKS),
        (options.arms, efficiency.ARMS),
        (options.settings, ablations.SETTINGS),
    ):
        unknown = [name for name in given if name not in known]
        if unknown:
            made.error(f"{unknown[0]!r} is none of {', '.join(known)}")
    if min(options.steps, options.batch, options.seeds, options.repeats, *options.budgets) < 1:
        made.error("steps, batch, seeds, repeats and budgets are at least 1")
    if any("=" not in one for one in options.set):
        made.error("--set takes NAME=VALUE")
    options.set = dict(one.split("=", 1) for one in options.set)
    if options.quick:
        options.steps, options.batch, options.seeds, options.samples = 6, 4, 2, 8
        options.budgets, options.rates, options.head_rates = (8, 32), (1e-3, 1e-2), (1e-3,)
        options.settings, options.repeats = ("EMA",), 1
    options.budgets = tuple(sorted(options.budgets))
    return options


def common(options: argparse.Namespace) -> dict[str, Any]:
    """What all runs share."""
    steps = options.steps
    warmup = max(1, min(50, steps // 10))
    valid = 8 if options.quick else 32
    return {"steps": steps, "batch": options.batch, "warmup": warmup, "validations": 2, "valid_limit": valid}


def efficiency_block(options: argparse.Namespace, harness: Harness, runs: Runs) -> tuple[str, Any]:
    plan = efficiency.Plan(
        common(options), options.budgets, range(options.seeds), options.head_rates, options.rates, options.arms
    )
    planned = efficiency.planned(plan, runs)
    # The runs of the first seed are scored on valid, the chosen ones and those of the other seeds on test.
    predictions = len(planned) + 1 + len(plan.budgets) * (len(plan.arms) - 1)
    runs.announce("efficiency", planned, predictions, harness.length(options.samples))
    found = efficiency.measure(plan, runs)
    if set(plan.arms) != set(efficiency.ARMS):
        # What other processes have measured joins the table; nothing is trained for it.
        found = _with_others(plan, runs, found)
    return efficiency.tables(found), efficiency.as_data(found)


def _with_others(plan: efficiency.Plan, runs: Runs, found: list[efficiency.Setting]) -> list[efficiency.Setting]:
    for arm in efficiency.ARMS:
        if arm in plan.arms:
            continue
        try:
            found += efficiency.measure(replace(plan, arms=(arm,)), runs.only_known())
        except OutOfTime:
            say(f"  {arm} is not measured yet.")
    return found


def ablations_block(options: argparse.Namespace, harness: Harness, runs: Runs) -> tuple[str, Any]:
    shared = common(options)
    if options.ablation_rate is not None:
        shared["learning_rates"] = {"adapter": options.ablation_rate}
    plan = ablations.Plan(shared, harness.layers, range(options.seeds), options.settings)
    planned = plan.runs()
    runs.announce("ablations", planned, len(planned), harness.length(options.samples))
    found = ablations.measure(plan, runs)
    return ablations.tables(found), ablations.as_data(found)


def throughput_block(options: argparse.Namespace, harness: Harness, runs: Runs) -> tuple[str, Any]:
    import claims_throughput as throughput
    import torch

    from mmud.baselines.inputs import DatasetInputs
    from mmud.baselines.neural_tuning.backbones import load_image_decoder
    from mmud.baselines.neural_tuning.fitting import load_fitted
    from mmud.baselines.neural_tuning.options import NeuralTuningOptions
    from mmud.baselines.run_folder import MODEL_FOLDER, load_run
    from mmud.records import Task

    folder = options.model
    if folder is None:
        run = Run("neural-tuning", common(options))
        folder = runs.folder / "runs" / runs.key(run)
        if not (folder / MODEL_FOLDER).is_dir():
            runs.announce("throughput: a model to measure", [run], 0, 0)
            runs.check_time()
        harness.fitted(run, folder)
    info = load_run(folder)[1]
    settings = NeuralTuningOptions(**{**info.options, "device": harness.settings.get("device", "auto")})
    fitted = load_fitted(folder / MODEL_FOLDER, settings, "stn")
    device = fitted.model.device
    decoder = load_image_decoder(fitted.model.config.backbones, str(device))
    inputs = DatasetInputs(harness.dataset, "test")
    count = harness.length(options.samples)
    key = {"weights": info.description["weights"], "samples": count, "repeats": options.repeats, "device": str(device)}
    key |= {
        "context": runs.context,
        "ways": digest_of_sources(Path(__file__).parent, ("published_way.py", "claims_throughput.py")),
    }
    kept = throughput.Kept(options.output / "throughput.jsonl", key)
    missing = [task for task in Task if task.value not in kept.timings]
    probe = throughput.Comparison(fitted.model, decoder, inputs, settings, 2)
    few = [probe.timing(task, 1) for task in missing]
    expected = sum(sum(one.seconds.values()) / one.samples for one in few) * count * options.repeats
    say(
        f"throughput: {len(missing)} of {len(Task)} tasks to be measured, {count} samples, three ways, {options.repeats} times; "
        f"expected time about {clock(expected)}"
    )
    comparison = throughput.Comparison(fitted.model, decoder, inputs, settings, options.samples)
    for task in missing:
        runs.check_time()
        kept.add(comparison.timing(task, options.repeats))
        say(f"  {task.value}: {kept.timings[task.value].ratio:.1f} times")
    timings = [kept.timings[task.value] for task in Task]
    whole = throughput.together(timings)
    blocks = [throughput.table([*timings, whole], "CPU" if device.type == "cpu" else "wall"), throughput.verdict(whole)]
    data: dict[str, Any] = {"timings": throughput.as_data([*timings, whole]), "large": None}
    data["model"] = f"a model of {info.description['steps']} steps, weights {info.description['weights'][:12]}"
    if torch.cuda.is_available():
        say("throughput at the size of LLaMA-2-7B, random weights …")
        samples = list(comparison.stream(Task.CAPTIONING, options.large_answers))
        found = throughput.large(throughput.build_large("cuda"), samples, options.large_tokens)
        blocks.append(f"{torch.cuda.get_device_name()}. {found.text()}")
        data["large"] = {**vars(found), "ratio": found.ratio, "device": torch.cuda.get_device_name()}
    else:
        blocks.append("No GPU: nothing was measured at the size of LLaMA-2-7B.")
    return "\n\n".join(blocks), data


def main() -> None:
    made = parser()
    options = checked(made.parse_args(), made)
    import torch

    from mmud.errors import MmudError
    from mmud.files import write_json, write_text

    torch.set_num_threads(1)
    work = {"efficiency": efficiency_block, "throughput": throughput_block, "ablations": ablations_block}
    try:
        harness = Harness(options.data, options.set, options.output)
        runs = Runs(options.output, harness.context(), harness, options.samples, options.minutes, say)
        for name in (name for name in BLOCKS if name in options.block):
            text, data = work[name](options, harness, runs)
            about = provenance(options, harness, data.pop("model", f"{options.steps} steps of {options.batch}"))
            if options.quick:
                text += "\n\nMeasured with --quick: these figures show that everything runs, and nothing else."
            write_text(options.output / f"{name}.md", f"{text}\n\n{about}\n")
            write_json(options.output / f"{name}.json", {"quick": options.quick, "about": about, **data})
            print(f"## {name}\n\n{text}\n\n{about}\n", flush=True)
    except OutOfTime:
        say("The minutes are over. The same command goes on.")
        sys.exit(UNFINISHED)
    except NoComparison as error:
        say(f"Nothing can be compared: {error}")
        sys.exit(1)
    except MmudError as error:
        say(str(error))
        sys.exit(int(error.code.exit_code))


def provenance(options: argparse.Namespace, harness: Harness, trained: str) -> str:
    """On what it was measured; ``trained`` says how the models were."""
    import torch

    language = harness.context()["frozen_parts"]["language_model"]
    scored = harness.length(options.samples)
    return (
        f"{trained}; {scored} test samples of {harness.dataset.fingerprint[:12]}; "
        f"language model {language[:12]}; torch {torch.__version__}, {torch.get_num_threads()} thread, "
        f"Python {platform.python_version()}, {platform.machine()}."
    )


if __name__ == "__main__":
    main()
