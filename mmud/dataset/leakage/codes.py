"""MM65x to MM66x: what training shares with evaluation."""

from __future__ import annotations

from mmud.errors import ExitCode, Severity, declare

_MEND = (
    "`mmud leakage DIR --clean -o OUT` writes the dataset without the training samples; `mmud split` makes splits that do not "
    "leak."
)

SOURCE_IMAGE_LEAKS = declare(
    "MM650",
    "source image leaks between splits",
    _MEND,
    "Two splits hold the same image of the same source: RefCOCO, RefCOCO+, RefCOCOg and COCO number their images alike, RefCLEF "
    "as SAIAPR does. What one split trains on or is selected by, the other scores.",
)
LISTED_IMAGE_LEAKS = declare(
    "MM651",
    "training image in another dataset's evaluation",
    "`mmud leakage DIR --against FILE --clean -o OUT` leaves these samples out; otherwise report no scores on that evaluation.",
    "A training sample shows an image of an evaluation split that was given with --against, such as RefCOCO's val, testA and "
    "testB. RefCOCO, RefCOCO+ and RefCOCOg split the same COCO images differently, so that training on one of them usually sees "
    "images that another one tests.",
)
IMAGE_FILE_LEAKS = declare(
    "MM652",
    "image file leaks between splits",
    _MEND,
    "The image files of two samples are equal byte by byte, whatever their ids say.",
)
IMAGE_PIXELS_LEAK = declare(
    "MM653",
    "pixels leak between splits",
    _MEND,
    "Two image files differ and decode to the same pixels: another container, other metadata, or a lossless format.",
)
IMAGE_NEARLY_LEAKS = declare(
    "MM654",
    "near-duplicate image leaks between splits",
    "Look at both images. If they are one photograph: " + _MEND,
    "Two images are one photograph that was encoded again, resized, brightened or cropped by a few per cent: their hashes are "
    "close, and their details agree once one is aligned with the other. Two shots of a still scene look alike, too.",
    severity=Severity.WARNING,
)
EVALUATION_SHARES_IMAGE = declare(
    "MM655",
    "image in two evaluation splits",
    "Nothing has to be done if the two splits are scored apart; their scores are not independent.",
    "Two splits that are both for evaluation hold one image. Nothing was trained on it, but results on the two splits depend on "
    "each other.",
    severity=Severity.INFO,
)
CAPTION_LEAKS = declare(
    "MM660",
    "caption leaks between splits",
    "Check that the two samples are not one. " + _MEND,
    "Samples of two splits have the same caption of eight words or more, apart from case, punctuation and tags. Captions of "
    "different photographs rarely agree word for word.",
    severity=Severity.WARNING,
)
CAPTION_NEARLY_LEAKS = declare(
    "MM661",
    "near-duplicate caption leaks between splits",
    "Read both captions and look at the images. " + _MEND,
    "Captions of two splits share most of their runs of three words (Jaccard index at or above the threshold): a copy with small "
    "edits, or text from a template.",
    severity=Severity.WARNING,
)
QUESTION_LEAKS = declare(
    "MM662",
    "question recurs between splits",
    "Nothing has to be done where the images differ: a question may fit many images.",
    "Samples of two splits ask the same question of five words or more. That is a leak only together with the image, but many of "
    "them mean that questions come from a few templates.",
    severity=Severity.INFO,
)
QUESTION_NEARLY_LEAKS = declare(
    "MM663",
    "near-duplicate question recurs between splits",
    "Nothing has to be done where the images differ: a question may fit many images.",
    "Questions of two splits share most of their runs of three words.",
    severity=Severity.INFO,
)
PHRASES_LEAK = declare(
    "MM664",
    "set of phrases recurs between splits",
    "Check that the two samples are not one image under two ids.",
    "Samples of two splits have the same set of four or more referring phrases, of eight or more words in all. Single phrases "
    'recur ("left guy"); whole sets hardly do, unless they were written for one image.',
    severity=Severity.WARNING,
)
LIST_UNREADABLE = declare(
    "MM665",
    "list of evaluation images unreadable",
    "Give a JSON list of image ids, a refs file (.json or .p), COCO's instances.json, a text file with an id a line, or a folder "
    "of refs files.",
    "A file given with --against holds no image ids in a form that is known.",
    exit_code=ExitCode.USAGE,
)
