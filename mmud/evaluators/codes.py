"""MM800 to MM849: predictions, rows of statistics, comparisons."""

from __future__ import annotations

from mmud.errors import ExitCode, Severity, declare

NOT_PREDICTIONS = declare(
    "MM800",
    "not a folder of predictions",
    "Name a folder that holds at least one of referring_segmentation.jsonl, reasoning_segmentation.jsonl, captioning.jsonl "
    "and generation.jsonl.",
    "A system's predictions are a folder with one file for each task that it did; docs/predictions.md shows every field.",
    exit_code=ExitCode.PREDICTIONS,
)
MISSING_IDS = declare(
    "MM801",
    "samples without a prediction",
    "Predict the samples that are listed, or add --allow-partial, which marks the result as partial.",
    "A figure over some of the samples cannot be compared with one over all of them, so nothing is scored until every "
    "sample of the split that has labels for the task has a prediction.",
    exit_code=ExitCode.PREDICTIONS,
)
UNKNOWN_ID = declare(
    "MM802",
    "prediction for an unknown sample",
    "Remove the line, or check that the predictions belong to this dataset and split.",
    "A line names a sample that the split does not hold, or that has no label for the task.",
    exit_code=ExitCode.PREDICTIONS,
)
REPEATED_ID = declare(
    "MM803",
    "sample predicted twice",
    "Keep one line for each sample.",
    "Two lines of one file name the same sample; which one counts would be a matter of chance.",
    exit_code=ExitCode.PREDICTIONS,
)
LINE_UNREADABLE = declare(
    "MM804",
    "line is not a JSON object",
    "Write one JSON object a line, in UTF-8.",
    "A line of a predictions file cannot be read: it is not JSON, not UTF-8, no object, nested too deep, or too long.",
    exit_code=ExitCode.PREDICTIONS,
)
FIELD_WRONG = declare(
    "MM805",
    "field missing or of the wrong type",
    "Correct the field that the message names; docs/predictions.md lists every field's type.",
    "A line lacks a field of its task or holds it with another type.",
    exit_code=ExitCode.PREDICTIONS,
)
MASK_OTHER_SIZE = declare(
    "MM806",
    "predicted mask has another size than the image",
    "Resize the mask to the image's height and width before encoding it; sizes are [height, width].",
    "Masks are compared pixel by pixel at the image's own size. Swapped sides, or a mask at the model's size, are the usual "
    "causes.",
    exit_code=ExitCode.PREDICTIONS,
)
MASK_INVALID = declare(
    "MM807",
    "predicted mask cannot be read",
    "Encode the mask again, for example with pycocotools.mask.encode on a Fortran-ordered uint8 array.",
    "The counts of a predicted mask are no valid run-length encoding. They come from a stranger and are never handed to "
    "compiled code before they are checked.",
    exit_code=ExitCode.PREDICTIONS,
)
NOT_FINITE = declare(
    "MM808",
    "number is not finite",
    "Find out where the NaN or infinity came from, and predict the sample again.",
    "JSON has no NaN and no infinity; Python writes them all the same. One of them would make a whole metric undefined.",
    exit_code=ExitCode.PREDICTIONS,
)
MASK_COUNT = declare(
    "MM809",
    "as many masks as objects are expected",
    "Give one mask, or null, for each object of the sample, in the objects' order.",
    "A referring prediction has fewer masks than its sample has objects, or more. What is absent counts as missing and what "
    "is too much as an extra mask, by the rules of the protocol.",
    severity=Severity.WARNING,
    exit_code=ExitCode.PREDICTIONS,
)
TAG_REPEATED = declare(
    "MM810",
    "two masks for one tag",
    "Give each tag one mask; join the parts of one object into one mask.",
    "Two masks of one answer carry the same tag; which of them is meant cannot be told.",
    exit_code=ExitCode.PREDICTIONS,
)
TAG_NOT_MENTIONED = declare(
    "MM811",
    "mask whose tag the answer does not mention",
    "Mention each tag that has a mask in the answer, as <LCL-i>.",
    "The mask is scored as it is: it may match an object, and it counts as predicted.",
    severity=Severity.WARNING,
    exit_code=ExitCode.PREDICTIONS,
)
OTHER_DATASET = declare(
    "MM812",
    "predictions were made for another dataset",
    "Score them against the dataset whose fingerprint submission.json names.",
    "submission.json names a dataset fingerprint or a split other than those of the dataset that is scored against. The ids "
    "may still agree, so this is a warning; a leaderboard refuses it.",
    severity=Severity.WARNING,
    exit_code=ExitCode.PREDICTIONS,
)
SUBMISSION_FILE = declare(
    "MM813",
    "submission.json cannot be read",
    "Write a JSON object with name, authors, split, dataset_fingerprint and system; docs/predictions.md shows one.",
    "The file is not JSON, or a field of it has the wrong type.",
    exit_code=ExitCode.PREDICTIONS,
)
IMAGE_PATH = declare(
    "MM814",
    "image outside the folder of predictions",
    "Name the image by its path inside the folder, such as images/0001.png.",
    "An image's path is absolute, leaves its folder, passes through a link, or names nothing that is there.",
    exit_code=ExitCode.PREDICTIONS,
)
NOTHING_TO_SCORE = declare(
    "MM815",
    "nothing to score",
    "Check --split and --tasks, and that the folder holds a file for a task that the dataset has labels for.",
    "No task has both labels in the split and a file of predictions.",
    exit_code=ExitCode.PREDICTIONS,
)
NOT_SCORED = declare(
    "MM816",
    "task was not scored",
    "Give the evaluator what it needs; the message says what.",
    "There are predictions for a task whose evaluator cannot work with the options that were given, as images without a "
    "network that extracts features. The other tasks are scored; name the task with --tasks to make this an error.",
    severity=Severity.WARNING,
    exit_code=ExitCode.MISSING_DEPENDENCY,
)
ROWS_UNREADABLE = declare(
    "MM820",
    "not a file of rows",
    "Name the rows.parquet that `mmud evaluate … -o OUT` wrote, or its folder.",
    "The file is not Parquet, or lacks the columns and the description that `mmud evaluate` writes.",
    exit_code=ExitCode.USAGE,
)
ROWS_LACK = declare(
    "MM821",
    "the rows do not hold what is asked for",
    "Evaluate the predictions again with the protocol or metric that is asked for.",
    "Rows hold the statistics of the protocols and evaluators they were made with. A protocol at another resolution needs "
    "masks that are no longer there.",
    exit_code=ExitCode.USAGE,
)
MERGE_MISMATCH = declare(
    "MM822",
    "shards do not belong together",
    "Merge the shards 1/n to n/n of one evaluation: same predictions, dataset, split and options.",
    "A shard is missing or repeated, or two shards come from different evaluations.",
    exit_code=ExitCode.PREDICTIONS,
)
ROW_MALFORMED = declare(
    "MM823",
    "evaluator returned something else than declared",
    "Tell the author of the evaluator; docs/evaluators.md says what it must return.",
    "An evaluator's row must be a mapping of names to numbers, the same names for every sample, and its metrics must be the "
    "ones that it declares.",
    exit_code=ExitCode.INTERNAL,
)
NOT_COMPARABLE = declare(
    "MM824",
    "evaluations cannot be compared",
    "Evaluate both systems on the same dataset and split, with the same protocol and options.",
    "A paired comparison needs the same samples scored by the same rules on both sides.",
    exit_code=ExitCode.PREDICTIONS,
)
INPUT_UNREADABLE = declare(
    "MM825",
    "file cannot be read as references or predictions",
    "Check the form: docs/metrics shows the files that each `mmud metric` command takes.",
    "A file named on the command line is not JSON, not JSON lines, or lacks the fields of its kind.",
    exit_code=ExitCode.PREDICTIONS,
)
CIDER_LEFT_OUT = declare(
    "MM827",
    "CIDEr is left out of a split of one text",
    "Score a split with two texts or more, or read the other metrics.",
    "CIDEr weighs an n-gram by how few texts of the split have it. In a split of one text every weight is log(1/1) = 0, so even "
    "a perfect caption would score 0. The other metrics of text are reported.",
    severity=Severity.WARNING,
    exit_code=ExitCode.USAGE,
)
METRIC_NOT_REPORTED = declare(
    "MM828",
    "metric was asked for and is not reported",
    "Ask for it where its task is scored, or name it in --metrics when rows are made.",
    "No task that was scored has the metric, or the rows were made without it: boundary IoU and CLIP scores are measured only "
    "where they are asked for.",
    severity=Severity.WARNING,
    exit_code=ExitCode.USAGE,
)
UNSUITABLE_SLICE = declare(
    "MM826",
    "slice does not apply to the task",
    "Leave it out, or slice by source, objects or length.",
    "Category and size belong to objects; captions and whole images have no single one.",
    severity=Severity.INFO,
    exit_code=ExitCode.USAGE,
)
