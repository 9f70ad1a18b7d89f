"""MM6xx: ids, splits, and what two splits share."""

from __future__ import annotations

from mmud.errors import Severity, declare

ID_REPEATED = declare(
    "MM601",
    "id repeated in a split",
    "Give every sample an id of its own.",
    "Two samples of a split have one id. Predictions are matched by id, so that one of the two is never scored, or "
    "twice.",
)
ID_IN_TWO_SPLITS = declare(
    "MM602",
    "id in two splits",
    "Give every sample an id of its own; if it is the same sample, keep it in one split.",
    "Samples of two splits have one id: a sample was copied from one split to the other, or ids count from zero in "
    "each.",
)
SPLIT_EMPTY = declare(
    "MM603",
    "empty split",
    "Remove the split, or build it again from its source.",
    "The manifest lists a split without a sample. Scores on it are undefined.",
)
SPLIT_SIZES = declare(
    "MM604",
    "unusual split sizes",
    "Check that the splits were not mixed up; `mmud split` makes new ones.",
    "An evaluation split (valid, test or the like) is larger than the training split.",
    severity=Severity.WARNING,
)
SOURCE_IMAGE_IN_TWO_SPLITS = declare(
    "MM605",
    "source image in two splits",
    "Keep all samples of one image in one split; `mmud split` does that.",
    "Two splits hold the same image of the same source (RefCOCO, RefCOCO+, RefCOCOg and COCO count as one source: "
    "they share COCO's images). What was trained on is then evaluated on.",
)
IMAGE_IN_TWO_SPLITS = declare(
    "MM606",
    "same image bytes in two splits",
    "Keep the image in one split; `mmud split` does that.",
    "The image files of samples in two splits are equal byte by byte, whatever their ids say.",
)
NEAR_DUPLICATE = declare(
    "MM607",
    "near-duplicate image in two splits",
    "Look at both images; if they are one photograph, keep it in one split.",
    "Images of two splits differ as files and have nearly the same perceptual hash: the same photograph, scaled or "
    "compressed again, or the next shot of a series.",
    severity=Severity.WARNING,
)
CAPTION_IN_TWO_SPLITS = declare(
    "MM608",
    "same caption in two splits",
    "Check that the two samples are not one; captions of real images rarely agree word for word.",
    "Samples of two splits have the same caption, apart from case and white space. On long captions that points at a "
    "copied sample or at a caption from a template.",
    severity=Severity.WARNING,
)
IMAGE_REPEATED = declare(
    "MM609",
    "same image bytes twice in a split",
    "Merge the samples of one image into one sample with all its objects.",
    "Two samples of a split have the same image file. One sample an image, with all its objects, is what the tasks "
    "expect; confidence intervals count the two as independent.",
    severity=Severity.INFO,
)
SOURCE_IMAGE_REPEATED = declare(
    "MM610",
    "source image twice in a split",
    "Merge the samples of one image into one sample with all its objects.",
    "Two samples of a split come from the same image of the same source. Confidence intervals count the two as "
    "independent.",
    severity=Severity.INFO,
)
ANNOTATION_REPEATED = declare(
    "MM611",
    "annotation id repeated in a sample",
    "Merge the objects: one annotation is one object, with all phrases that mean it.",
    "Two objects of a sample name one annotation of the source. References to one object were not grouped.",
    severity=Severity.WARNING,
)
