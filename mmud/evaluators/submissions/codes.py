"""MM83x and MM84x: submissions as zip files, and leaderboards."""

from __future__ import annotations

from mmud.errors import ExitCode, Severity, declare

ARCHIVE_UNREADABLE = declare(
    "MM830",
    "archive unreadable",
    "Pack the submission again with `mmud submit pack`.",
    "The file is no zip archive, is damaged, or has an entry that does not unpack to what its directory says.",
    exit_code=ExitCode.PREDICTIONS,
)
ARCHIVE_PATH = declare(
    "MM831",
    "archive entry leaves its folder",
    "Pack the submission again with `mmud submit pack`.",
    "An entry's name is absolute, climbs with .., or holds a backslash, a drive letter or a control character. Unpacking it "
    "could write anywhere on the machine.",
    exit_code=ExitCode.PREDICTIONS,
)
ARCHIVE_LINK = declare(
    "MM832",
    "archive entry is a link or a special file",
    "Put the file itself into the archive.",
    "A link can point at any file of the machine that scores. Only plain files are unpacked.",
    exit_code=ExitCode.PREDICTIONS,
)
ARCHIVE_TOO_LARGE = declare(
    "MM833",
    "archive above the bounds",
    "Write images as PNG or JPEG of the samples' size, and masks as run lengths; ask the organiser for other bounds.",
    "The archive has too many entries, an entry unpacks to more than is allowed or to absurdly more than it is packed, or the "
    "whole does. The bound is checked against the bytes that really come out, not against what the archive announces.",
    exit_code=ExitCode.PREDICTIONS,
)
ARCHIVE_ENCRYPTED = declare(
    "MM834",
    "archive entry is encrypted",
    "Pack the submission without a password.",
    "An entry needs a password, and none is asked for.",
    exit_code=ExitCode.PREDICTIONS,
)
ARCHIVE_REPEATED = declare(
    "MM835",
    "archive holds one name twice",
    "Pack the submission again with `mmud submit pack`.",
    "Two entries have the same name, or differ in upper and lower case only: which of them counts would depend on the program "
    "and the file system.",
    exit_code=ExitCode.PREDICTIONS,
)
FILE_UNSAFE = declare(
    "MM836",
    "file that could run code",
    "Leave the file out: a submission is JSON and images.",
    "Pickles and the formats built on them (.pkl, .pt, .ckpt, .npz with objects …) run code when they are opened. They are never "
    "opened, and a submission that brings one is refused so that nobody opens it by mistake.",
    exit_code=ExitCode.PREDICTIONS,
)
FILE_FOREIGN = declare(
    "MM837",
    "file that no submission has",
    "Nothing has to be done: the file is left out. docs/predictions.md lists the files of a submission.",
    "The file is none of submission.json, the four tasks' files, or an image.",
    severity=Severity.WARNING,
)
IMAGE_REFUSED = declare(
    "MM838",
    "generated image refused",
    "Write the image again as PNG or JPEG, within the bounds that the message names.",
    "An image of the submission cannot be decoded, or is above the bounds on bytes and pixels. It is checked before any pixel is "
    "decoded.",
    exit_code=ExitCode.PREDICTIONS,
)
SUBMISSION_UNNAMED = declare(
    "MM839",
    "submission without a name",
    "Add submission.json with a name, the authors, the split and the dataset's fingerprint; `mmud submit pack --name` does.",
    "submission.json is missing or names no system. It can be scored, and cannot be told apart on a leaderboard.",
    severity=Severity.WARNING,
)
NOT_A_BOARD = declare(
    "MM840",
    "not a leaderboard",
    "Begin one with `mmud leaderboard add FOLDER SUBMISSION --data DIR`.",
    "The folder has no board.json, or it cannot be read.",
    exit_code=ExitCode.USAGE,
)
BOARD_MISMATCH = declare(
    "MM841",
    "scores do not belong on this leaderboard",
    "Score the submission on the leaderboard's dataset, split and protocol.",
    "Figures can be compared only when dataset, split, protocol and the version of the rules are the same.",
    exit_code=ExitCode.PREDICTIONS,
)
ENTRY_EXISTS = declare(
    "MM842",
    "a system of this name is on the leaderboard",
    "Give the submission another name, or add --force to replace the entry.",
    "Names tell systems apart; two entries of one name could not be.",
    exit_code=ExitCode.USAGE,
)
ENTRY_UNRANKED = declare(
    "MM843",
    "entry is not ranked",
    "Submit predictions for every required sample.",
    "A failed or partial submission is listed with its reason and never ranks.",
    severity=Severity.WARNING,
)
