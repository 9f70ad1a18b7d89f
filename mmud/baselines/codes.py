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
