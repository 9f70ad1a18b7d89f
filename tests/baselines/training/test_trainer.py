"""The trainer on a toy: resumption to the bit, whatever is done to the process; faults that end in words."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from mmud.baselines.training.checkpoints import CheckpointFolder, TrainingState, read_checkpoint  # noqa: E402
from mmud.baselines.training.schedule import Budget  # noqa: E402
from mmud.baselines.training.tensor_files import digest_of, read_tensors, write_tensors  # noqa: E402
from mmud.baselines.training.trainer import Trainer, TrainingConfig, make_optimiser  # noqa: E402
from mmud.errors import MmudError  # noqa: E402
from tests.baselines.training.toy import Source, Toy, trainer  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]


def final(folder: Path, step: int) -> dict[str, torch.Tensor]:
    """Everything a checkpoint holds: weights, moments, states of the generators."""
    found = read_checkpoint(folder / "checkpoints" / f"step-{step:08d}")
    return {**found.model, **found.optimiser}


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_it_learns(tmp_path: Path) -> None:
    one = trainer(tmp_path, 200)
    before = Source().validate(one.model)["total"]  # type: ignore[arg-type]
    report = one.run()
    assert report.state.best is not None
    assert report.state.best.score < before / 4
    assert report.state.step == 200
    assert report.resumed_from is None


def test_killed_and_resumed_is_the_same_to_the_bit(tmp_path: Path) -> None:
    steps = 20
    straight = trainer(tmp_path / "straight", steps, validations=5)
    straight.run()

    program = [sys.executable, str(Path(__file__).with_name("toy.py")), str(tmp_path / "killed"), str(steps), "0.1"]
    process = subprocess.Popen(program, cwd=ROOT, env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": ""})
    waited_for = tmp_path / "killed" / "checkpoints" / "step-00000006"
    deadline = time.monotonic() + 60
    while not waited_for.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -9
    assert not (tmp_path / "killed" / "checkpoints" / f"step-{steps:08d}").exists()

    resumed = trainer(tmp_path / "killed", steps, validations=5)
    report = resumed.run()
    assert report.resumed_from is not None
    assert report.resumed_from >= 6
    assert_same(final(tmp_path / "killed", steps), final(tmp_path / "straight", steps))
    assert_same(resumed.model.trainable_state(), straight.model.trainable_state())
    logged = [(line["step"], line.get("loss/total"), line.get("valid/total")) for line in report.losses]
    other = [json.loads(line) for line in (tmp_path / "straight" / "log.jsonl").read_text().splitlines()]
    # The first step of each process is logged besides.
    both = {step for step, *_ in logged} & {line["step"] for line in other}
    assert len(both) >= 10
    assert [one for one in logged if one[0] in both] == [
        (line["step"], line.get("loss/total"), line.get("valid/total")) for line in other if line["step"] in both
    ]


def test_looking_at_the_valid_split_changes_nothing(tmp_path: Path) -> None:
    trainer(tmp_path / "a", 12, validations=6).run()
    trainer(tmp_path / "b", 12).run()
    one, other = final(tmp_path / "a", 12), final(tmp_path / "b", 12)
    assert_same(one, other)


def test_the_weights_that_did_best_on_valid_are_kept(tmp_path: Path) -> None:
    scores = iter([3.0, 1.0, 2.0, 5.0, 4.0])
    seen: list[dict[str, torch.Tensor]] = []
    model = Toy()

    def validate() -> dict[str, float]:
        seen.append({name: tensor.clone() for name, tensor in model.trainable_state().items()})
        return {"total": next(scores)}

    config = TrainingConfig(Budget(steps=10), {"": 1e-2}, warmup=0, validations=5)
    report = Trainer(model, Source(), config, tmp_path, validate=validate).run()
    assert report.state.best is not None
    assert (report.state.best.step, report.state.best.score) == (4, 1.0)
    assert_same(model.trainable_state(), seen[1])
    assert CheckpointFolder(tmp_path / "checkpoints").steps() == [4, 8, 10]
    # Run again, it has nothing left to do, and ends with the same weights.
    again = Toy(seed=1)
    Trainer(again, Source(), config, tmp_path, validate=validate).run()
    assert_same(again.trainable_state(), seen[1])


def test_accumulated_pieces_give_the_gradients_of_the_whole_batch(tmp_path: Path) -> None:
    def gradients(pieces: int) -> list[torch.Tensor]:
        model = Toy()
        one = Trainer(model, Source(pieces=pieces), TrainingConfig(Budget(steps=1)), tmp_path)
        model.train(False)
        one._gradients(0)
        return [parameter.grad for group in model.parameter_groups().values() for parameter in group]  # type: ignore[misc]

    for whole, summed in zip(gradients(1), gradients(3), strict=True):
        torch.testing.assert_close(whole, summed)


def test_each_group_has_its_rate_and_frozen_parts_stay(tmp_path: Path) -> None:
    one = trainer(tmp_path, 5)
    frozen = one.model.frozen.weight.clone()  # type: ignore[attr-defined]
    report = one.run()
    line = report.losses[-2]
    assert line["rate/head"] == pytest.approx(3 * line["rate/body"])
    assert torch.equal(one.model.frozen.weight, frozen)  # type: ignore[attr-defined]


def test_rates_for_nobody_and_nothing_to_train_are_refused() -> None:
    with pytest.raises(MmudError, match=r"MM905.*the groups are body, head"):
        make_optimiser(TrainingConfig(Budget(steps=1), {"": 1.0, "tail": 1.0}), Toy().parameter_groups())
    with pytest.raises(MmudError, match="MM905"):
        make_optimiser(TrainingConfig(Budget(steps=1), {"body": 1.0}), Toy().parameter_groups())
    with pytest.raises(MmudError, match="MM947"):
        make_optimiser(TrainingConfig(Budget(steps=1)), {"adapter": []})


def test_a_budget_of_minutes_ends_in_time(tmp_path: Path) -> None:
    model = Toy()
    config = TrainingConfig(Budget(minutes=0.02), {"": 1e-2}, warmup=0)
    start = time.perf_counter()
    report = Trainer(model, Source(delay=0.01), config, tmp_path).run()
    assert 1.2 <= time.perf_counter() - start < 6
    assert 1.2 <= report.state.seconds < 6
    rates = [line["rate/body"] for line in report.losses]
    assert rates == sorted(rates, reverse=True)


def test_bf16_runs_the_forward_pass_in_bf16_and_keeps_weights_in_fp32(tmp_path: Path) -> None:
    seen = []

    class Watching(Toy):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            out = super().forward(inputs)
            seen.append(out.dtype)
            return out

    model = Watching()
    Trainer(model, Source(), TrainingConfig(Budget(steps=2), precision="bf16"), tmp_path).run()
    assert seen == [torch.bfloat16] * 2
    assert model.head.weight.dtype == torch.float32


# -- faults -----------------------------------------------------------------------------------------------------------------


class Failing(Toy):
    """Goes wrong in its fourth step."""

    def __init__(self, how: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.how = how
        self.calls = 0

    def loss(self, batch: tuple[torch.Tensor, torch.Tensor]) -> dict[str, torch.Tensor]:
        self.calls += 1
        total = super().loss(batch)["total"]
        return {"total": self.how(total) if self.calls == 4 else total}


def exhaust(total: torch.Tensor) -> torch.Tensor:
    # A petabyte: what the allocator itself says about it.
    return total + torch.empty(1 << 48).sum()


@pytest.mark.parametrize(
    ("how", "code", "advice"),
    [
        (lambda total: total * float("nan"), "MM921", "lower learning rates"),
        (lambda total: total * float("inf"), "MM921", "lower learning rates"),
        # The loss is finite, its gradient is not: d sqrt(x) / dx at 0.
        (lambda total: total + torch.sqrt(total * 0), "MM921", "lower learning rates"),
        (exhaust, "MM920", "accumulate"),
    ],
)
def test_faults_end_in_words_and_leave_the_last_checkpoint(
    tmp_path: Path, how: Callable[[torch.Tensor], torch.Tensor], code: str, advice: str
) -> None:
    config = TrainingConfig(Budget(steps=9), {"": 1e-2}, warmup=0, save_every=2)
    with pytest.raises(MmudError) as raised:
        Trainer(Failing(how), Source(), config, tmp_path).run()
    assert raised.value.code.id == code
    assert "step 4" in raised.value.message
    assert advice in raised.value.hint
    # The toy itself trains on from there, and as if nothing had happened.
    Trainer(Toy(), Source(), config, tmp_path).run()
    Trainer(Toy(), Source(), config, tmp_path / "straight").run()
    assert_same(final(tmp_path, 9), final(tmp_path / "straight", 9))


def test_other_runtime_errors_are_not_called_memory(tmp_path: Path) -> None:
    def mistake(total: torch.Tensor) -> torch.Tensor:
        return total + torch.zeros(3) @ torch.zeros(4)

    with pytest.raises(RuntimeError, match="size"):
        Trainer(Failing(mistake), Source(), TrainingConfig(Budget(steps=5)), tmp_path).run()


@contextmanager
def files_bounded_to(size: int):  # type: ignore[no-untyped-def]
    """The operating system itself refuses to write more into a file, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_told_and_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    trainer(tmp_path, 4).run()
    before = CheckpointFolder(tmp_path / "checkpoints").steps()
    with files_bounded_to(1000), pytest.raises(MmudError, match="MM008"):
        trainer(tmp_path, 8).run()
    folder = CheckpointFolder(tmp_path / "checkpoints")
    assert folder.steps() == before
    assert not [path for path in folder.folder.iterdir() if path.name.startswith(".")]
    assert trainer(tmp_path, 8).run().resumed_from == 4


@pytest.mark.parametrize("name", ["model.safetensors", "optimiser.safetensors", "state.json"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path, name: str) -> None:
    trainer(tmp_path, 6).run()
    file = tmp_path / "checkpoints" / "step-00000006" / name
    file.write_bytes(file.read_bytes()[:-20])
    notes: list[str] = []
    found = CheckpointFolder(tmp_path / "checkpoints").newest(notes.append)
    assert found is not None
    assert found.state.step == 4
    assert "step 6 is damaged" in notes[0]
    (tmp_path / "checkpoints" / "step-00000004" / name).write_bytes(b"")
    with pytest.raises(MmudError, match="MM904"):
        CheckpointFolder(tmp_path / "checkpoints").newest()


def test_a_checkpoint_of_other_parameters_is_refused(tmp_path: Path) -> None:
    trainer(tmp_path, 2).run()

    class Wider(Toy):
        def __init__(self) -> None:
            super().__init__()
            self.body = torch.nn.Linear(32, 12)
            self.head = torch.nn.Linear(12, 1)

        def load_trainable_state(self, state: dict[str, torch.Tensor]) -> None:
            pass

    with pytest.raises(MmudError, match=r"MM903.*shape"):
        Trainer(Wider(), Source(), TrainingConfig(Budget(steps=3)), tmp_path).run()


def test_tensors_are_written_whole_and_read_again(tmp_path: Path) -> None:
    shared = torch.arange(6.0)
    tensors = {"a": shared.view(2, 3), "b": shared, "c": torch.tensor(3), "d": torch.ones(2, dtype=torch.bfloat16)}
    write_tensors(tmp_path / "x.safetensors", tensors)
    assert_same(read_tensors(tmp_path / "x.safetensors"), tensors)
    assert digest_of(read_tensors(tmp_path / "x.safetensors")) == digest_of(tensors)
    assert digest_of({**tensors, "c": torch.tensor(4)}) != digest_of(tensors)
    assert digest_of({**tensors, "a": shared.view(3, 2)}) != digest_of(tensors)
    (tmp_path / "x.safetensors").write_bytes(b"\x80\x04.")
    with pytest.raises(MmudError, match="MM904"):
        read_tensors(tmp_path / "x.safetensors")


def test_a_killed_writer_leaves_nothing_that_looks_like_a_checkpoint(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    (tmp_path / ".step-00000009.partial").mkdir()
    (tmp_path / ".step-00000009.partial" / "model.safetensors").write_bytes(b"half")
    assert folder.steps() == []
    folder.write(TrainingState(step=3), {"a": torch.zeros(1)}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]
