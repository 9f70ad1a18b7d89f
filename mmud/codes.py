"""MM0xx: use of the tool; and the codes that any record or image can raise."""

from __future__ import annotations

from mmud.errors import ExitCode, declare

USAGE = declare(
    "MM001",
    "unusable argument",
    "Run the command with --help and correct the argument.",
    "An argument has a value that the command cannot work with.",
    exit_code=ExitCode.USAGE,
)
FILE_MISSING = declare(
    "MM002",
    "no such file or folder",
    "Check the path; relative paths start at the current folder.",
    "A file or folder that was named does not exist or cannot be opened.",
    exit_code=ExitCode.USAGE,
)
OUTPUT_EXISTS = declare(
    "MM003",
    "output exists already",
    "Name another output, or add --force to replace this one.",
    "Nothing is overwritten unless --force is given.",
    exit_code=ExitCode.USAGE,
)
UNKNOWN_NAME = declare(
    "MM004",
    "unknown name",
    "`mmud plugins` lists what is installed.",
    "No source, exporter, evaluator, protocol, baseline or annotator of that name is built in or installed as a plug-in.",
    exit_code=ExitCode.USAGE,
)
PLUGIN_BROKEN = declare(
    "MM005",
    "plug-in cannot be loaded",
    "Reinstall or remove the package that the message names.",
    "An installed package announces an entry point whose import fails. The rest of the tool goes on working.",
    exit_code=ExitCode.MISSING_DEPENDENCY,
)
PLUGIN_CLASH = declare(
    "MM006",
    "two plug-ins claim one name",
    "Remove one of the packages, or name the plug-in as PACKAGE:NAME.",
    "Two installed packages, or a package and a built-in, announce the same name in one group.",
    exit_code=ExitCode.USAGE,
)
DEPENDENCY_MISSING = declare(
    "MM007",
    "a dependency is missing",
    "Install what the message names.",
    "This part of the tool needs a package, a program or weights that are not on this machine.",
    exit_code=ExitCode.MISSING_DEPENDENCY,
)
NOT_WRITABLE = declare(
    "MM008",
    "cannot write",
    "Check the disk's free space and the folder's permissions; what was finished is kept.",
    "The operating system refused a write. Half-written files are removed or left under a .partial name.",
    exit_code=ExitCode.USAGE,
)
INTERRUPTED = declare(
    "MM009",
    "interrupted",
    "Run the same command again: it goes on where it stopped.",
    "The process was asked to stop. What was finished is kept.",
    exit_code=ExitCode.INTERRUPTED,
)
RECORD_TYPE = declare(
    "MM101",
    "field of the wrong type",
    "Correct the field that the message names; docs/format.md lists every field's type.",
    "A record has a field that is missing, unknown, of another type, or outside its bounds.",
)
IMAGE_MISSING = declare(
    "MM501",
    "image missing",
    "Put the image back, or build again with --images embed so that images travel with the dataset.",
    "A sample has neither image bytes nor a path, or the file at its path cannot be opened. Linked images must stay where they "
    "were when the dataset was built.",
)
IMAGE_UNREADABLE = declare(
    "MM502",
    "image unreadable",
    "Replace the file by a readable PNG, JPEG, WebP or BMP image.",
    "The bytes are no image of an allowed format, or are damaged or cut off.",
)
IMAGE_TOO_LARGE = declare(
    "MM503",
    "image too large",
    "Scale the image down, or leave it out.",
    "A file has more bytes or pixels than are safe to decode. A small file can unpack to gigabytes of pixels, so the bound is "
    "checked before any pixel is decoded.",
)
