"""MM910 to MM919: the parts of neural tuning that do not fit one another."""

from __future__ import annotations

from mmud.errors import ExitCode, declare

TOKENIZER_MISMATCH = declare(
    "MM910",
    "tokenizer without room for the tags",
    "Give the tokenizer that belongs to the language model, as its authors published it.",
    "Tags become tokens of their own, numbered after the tokenizer's last. That cannot be done when it has more tokens "
    "than the model has embeddings, refuses new tokens, splits them, or has no token that ends a text.",
    exit_code=ExitCode.USAGE,
)
TAGS_TAKEN = declare(
    "MM911",
    "tokenizer that has the tags already",
    "Give the language model's original tokenizer; the tags are added to a copy of it.",
    "The tokenizer has tokens such as <LCL-1> or <GLB>. What they were trained to mean is not known, so they are not used.",
    exit_code=ExitCode.USAGE,
)
TOO_LONG = declare(
    "MM912",
    "text longer than the model reads",
    "Lower text.max_length, set vision.unshuffle to 2 or text.image_positions to one; for a long prompt raise "
    "text.max_length, or leave the sample out.",
    "Beyond the positions that it was trained on a language model says anything. A prompt is never cut, since a cut question is "
    "another question.",
    exit_code=ExitCode.USAGE,
)
BATCH_INCOMPLETE = declare(
    "MM913",
    "instance without what it needs",
    "Give each instance its image's features, one mask for each of its tags, and the feature of an image that it generates.",
    "A batch was put together from lists of another length, or an instance lacks its image, its masks or its feature.",
    exit_code=ExitCode.USAGE,
)
TOWER_UNUSABLE = declare(
    "MM914",
    "vision tower that does not fit",
    "Name layers that the tower has; for unshuffle 2 take a tower whose grid has even sides.",
    "The vision tower's layers, widths or grid are not what the settings ask for, or its folder holds no known vision model.",
    exit_code=ExitCode.USAGE,
)
MASK_DECODER_UNUSABLE = declare(
    "MM915",
    "mask decoder that cannot be loaded",
    "Give mask_decoder.options.weights as the folder or hub id of a SAM or SAM 2 model with safetensors weights.",
    "The mask decoder's weights are missing, damaged, or those of another kind of model.",
    exit_code=ExitCode.USAGE,
)
IMAGE_DECODER_UNUSABLE = declare(
    "MM916",
    "image decoder that does not fit",
    "Give an image decoder that is conditioned on the very feature that the model was trained to predict.",
    "The image decoder cannot be loaded, failed, or takes features of another size.",
    exit_code=ExitCode.USAGE,
)
