"""MM98x: review by people, its journal, and the next version that is made of it."""

from __future__ import annotations

from mmud.errors import ExitCode, Severity, declare

LINE_UNREADABLE = declare(
    "MM980",
    "line of a review journal unreadable",
    "Nothing has to be done for a last line that a kill cut short; look at any other line that is named.",
    "A journal is one JSON object a line. A line that a killed server left half-written is passed over and later lines count; "
    "so is any other line that cannot be read, and each is named.",
    severity=Severity.WARNING,
)
OTHER_DATASET = declare(
    "MM981",
    "review journal of another dataset",
    "Name the dataset that was reviewed, or another --journal.",
    "Every decision is bound to the fingerprint of the dataset and to the labels of its sample. None of this journal's decisions "
    "fits the dataset.",
    exit_code=ExitCode.USAGE,
)
LABELS_CHANGED = declare(
    "MM982",
    "decision about other labels",
    "Review the sample again: its labels are not those that were decided on.",
    "The dataset changed after the decision, so the decision does not count. Decisions about samples whose labels are the same "
    "do count, whatever else of the dataset changed.",
    severity=Severity.WARNING,
)
EDIT_BREAKS_TAGS = declare(
    "MM983",
    "edited text with broken tags",
    "Correct the text: tags are <LCL-i> with i from 1 to the number of objects, and stand in answers alone.",
    "A text with a malformed tag, a tag that points at no object, or a tag outside the answer cannot be accepted.",
)
DECISION_REFUSED = declare(
    "MM984",
    "decision refused",
    "Reload the page; the message says what could not be kept.",
    "The server keeps only decisions that name a reviewer, a sample, the labels that were seen, and a verdict or text that "
    "exists.",
    exit_code=ExitCode.USAGE,
)
JOURNAL_IN_USE = declare(
    "MM985",
    "review journal in use",
    "Open the address of the server that has it, or end that server, or name another --journal.",
    "Two servers on one journal would not see each other's decisions. Several reviewers share one server.",
    exit_code=ExitCode.USAGE,
)
IN_DISPUTE = declare(
    "MM986",
    "reviewers disagree",
    "Settle the samples in the page (filter: in dispute), or give --disputed keep or --disputed drop.",
    "Reviewers differ in their verdict or in their text of a sample, and nobody settled it.",
)
ADDRESS_TAKEN = declare(
    "MM987",
    "address cannot be listened on",
    "Give another --port, or --port 0 for any free one.",
    "Another program listens on the port, or the host is not one of this machine's.",
    exit_code=ExitCode.USAGE,
)
UNKNOWN_SAMPLE = declare(
    "MM988",
    "decision about a sample that is not there",
    "Nothing has to be done if the sample was left out of the dataset on purpose.",
    "The journal names a sample that this dataset does not have. The decision does not count.",
    severity=Severity.WARNING,
)
