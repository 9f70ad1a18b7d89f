"""MM85x: captions and their references."""

from __future__ import annotations

from mmud.errors import ExitCode, declare

CAPTION_MISSING = declare(
    "MM850",
    "captions are missing",
    "Caption every image of the references, or say that a missing caption is an empty one.",
    "A caption metric over fewer images is another metric: CIDEr's document frequencies and BLEU's counts come from the "
    "images scored. So every image of the references needs exactly one candidate.",
    exit_code=ExitCode.PREDICTIONS,
)
CAPTION_EXTRA = declare(
    "MM851",
    "captions of unknown images",
    "Remove the captions whose images have no references, or score against the references they belong to.",
    "A candidate names an image that the references do not have, which usually means that the two files belong to different "
    "splits.",
    exit_code=ExitCode.PREDICTIONS,
)
CAPTION_REPEATED = declare(
    "MM852",
    "an image is captioned twice",
    "Keep one caption for each image.",
    "Two candidates for one image: which one is meant cannot be known, and taking the last one silently would hide a mistake.",
    exit_code=ExitCode.PREDICTIONS,
)
CAPTION_MALFORMED = declare(
    "MM853",
    "not a caption",
    'Write each caption as a string, and each entry as {"image_id": …, "caption": "…"}.',
    "A caption must be a string and an image id an integer or a string. NaN, null, lists and numbers are refused, and so is a "
    "caption of more than 20,000 characters.",
    exit_code=ExitCode.PREDICTIONS,
)
REFERENCES_UNUSABLE = declare(
    "MM854",
    "references that nothing can be scored against",
    "Give every image at least one reference, and at least one image a reference with a word in it.",
    "An image without references has no score, and when no reference has a single word every metric is zero by definition.",
    exit_code=ExitCode.USAGE,
)
FREQUENCIES_NEEDED = declare(
    "MM855",
    "one image has no document frequencies",
    "Pass document frequencies frozen from the whole split, or leave CIDEr out.",
    "CIDEr weighs an n-gram by how few images of the reference set have it. With one image every weight is log(1/1) = 0, so "
    "even a perfect caption would score 0. Frequencies frozen from a split give the image the score it has within that split.",
    exit_code=ExitCode.USAGE,
)
FREQUENCIES_BROKEN = declare(
    "MM856",
    "document frequencies cannot be read",
    "Make the file again from the split's references.",
    "The file is not one that this package wrote, its numbers contradict each other, or its content does not have the hash "
    "that it states.",
    exit_code=ExitCode.USAGE,
)
FREQUENCIES_OF_OTHER_TOKENS = declare(
    "MM857",
    "document frequencies of another tokenizer",
    "Make the frequencies again with this version, or score with the version that made them.",
    "The frequencies were counted on tokens that this version would not make, so n-grams would not be found.",
    exit_code=ExitCode.USAGE,
)
COCO_FILE_BROKEN = declare(
    "MM858",
    "not a COCO captions or results file",
    'References: {"annotations": [{"image_id": …, "caption": …}, …]}. Results: [{"image_id": …, "caption": …}, …].',
    "The file is not JSON, or not of the form that COCO's caption tools read.",
    exit_code=ExitCode.USAGE,
)
ORACLE_MISSING = declare(
    "MM859",
    "an oracle scorer cannot run",
    "Install pycocoevalcap (pip install 'mmud[captions]') and a Java runtime (METEOR, SPICE and its own tokenizer need one).",
    "The scorers of pycocoevalcap are used as oracles. METEOR, SPICE and the original tokenizer start Java; SPICE also needs the "
    "Stanford CoreNLP 3.6.0 jars in its own lib folder, which are never downloaded here.",
    exit_code=ExitCode.MISSING_DEPENDENCY,
)
