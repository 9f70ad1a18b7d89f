"""MM9xx: baselines, their models and checkpoints."""

from __future__ import annotations

from mmud.errors import ExitCode, declare

LAYOUT_UNKNOWN = declare(
    "MM901",
    "language model of an unknown layout",
    "Use a decoder with q_proj, k_proj and v_proj (Llama, Qwen, Mistral, Gemma, OPT …), or one of the fused layouts of "
    "Phi-3, GPT-2, GPT-NeoX and BLOOM.",
    "The sparse task network adds to the query, key and value projections of a decoder's layers. In this model they could not be "
    "told apart with certainty, and guessing would train the wrong weights.",
    exit_code=ExitCode.USAGE,
)
REENTRANT_CHECKPOINTING = declare(
    "MM902",
    "re-entrant gradient checkpointing",
    "Call gradient_checkpointing_enable({'use_reentrant': False}).",
    "Re-entrant checkpointing runs each layer without a graph first. The task state that passes from layer to layer beside the "
    "hidden states would lose its gradient without any message.",
    exit_code=ExitCode.USAGE,
)
CHECKPOINT_MISMATCH = declare(
    "MM903",
    "checkpoint of another model",
    "Load the checkpoint into the model that it was trained on; its config.json names it.",
    "The adapter's tensors have other shapes or names than this model and configuration ask for.",
    exit_code=ExitCode.USAGE,
)
CHECKPOINT_UNREADABLE = declare(
    "MM904",
    "checkpoint unreadable",
    "Copy the checkpoint again; it is a folder with config.json and model.safetensors.",
    "A file of the checkpoint is missing, cut off, or not what it should be. Only safetensors and JSON are read, never pickles.",
    exit_code=ExitCode.USAGE,
)
CONFIG_INVALID = declare(
    "MM905",
    "unusable configuration of a baseline",
    "Correct the value that the message names.",
    "A setting of a baseline is outside what its method is defined for.",
    exit_code=ExitCode.USAGE,
)
NOT_A_RUN = declare(
    "MM940",
    "not a run",
    "Name the folder that `mmud train … -o RUN` wrote, or a baseline that needs no fitting.",
    "The folder has no run.json, or one that cannot be read. A run.json is written by `mmud train` and says what was fitted, on "
    "what, and with which options.",
    exit_code=ExitCode.USAGE,
)
RUN_UNFINISHED = declare(
    "MM941",
    "run not finished",
    "Give the command that began it again: it goes on where it stopped.",
    "Fitting was interrupted. Predictions of a half-fitted baseline would look like those of a whole one, so none are made.",
    exit_code=ExitCode.USAGE,
)
FITTING = declare(
    "MM942",
    "baseline to be fitted first, or not at all",
    "Use `mmud train` for baselines that learn, and the name itself in `mmud predict` for those that do not.",
    "Some baselines learn from a dataset and are predicted with from their run folder. Others know all they need to know.",
    exit_code=ExitCode.USAGE,
)
OTHER_REQUEST = declare(
    "MM943",
    "output of another request",
    "Name another output, give the same arguments as before, or add --force to replace what is there.",
    "The folder holds results of other arguments: another baseline, dataset, split, shard, seed or option; or of other settings "
    "behind the same options: a preset or a frozen part that has changed since. Going on would mix two systems into one.",
    exit_code=ExitCode.USAGE,
)
ANSWERS_WRONG = declare(
    "MM944",
    "baseline answered something else",
    "Correct the baseline: `predict` yields exactly one output for each sample, in any order.",
    "A baseline left a sample out, answered one twice, or answered something that it was not asked. Its predictions would be "
    "incomplete or wrong, so the file is not finished.",
    exit_code=ExitCode.PREDICTIONS,
)
TASK_NOT_DONE = declare(
    "MM945",
    "task that the baseline does not do",
    "Leave the task out of --tasks; `mmud plugins` and docs/baselines.md say which tasks a baseline does.",
    "A baseline need not do all four tasks. One that was asked for by name is never left out in silence.",
    exit_code=ExitCode.USAGE,
)
LABELS_NEEDED = declare(
    "MM946",
    "baseline that reads the labels",
    "Give the dataset with its labels.",
    "Ceilings and some floors are made from the true labels. The participants' half of a benchmark has none.",
    exit_code=ExitCode.USAGE,
)
NOTHING_TO_FIT = declare(
    "MM947",
    "nothing to fit on",
    "Name a split that has the labels which the baseline learns from.",
    "The split has no sample with the labels that the baseline needs.",
    exit_code=ExitCode.USAGE,
)
SHARDS_DIFFER = declare(
    "MM948",
    "shards that do not belong together",
    "Give every part of one prediction, each once.",
    "Parts of different systems, datasets or splits, or parts that leave samples out, cannot be joined into one submission.",
    exit_code=ExitCode.PREDICTIONS,
)
