"""MM2xx and MM3xx codes that reading a mask or a tag can raise; the checks of a whole dataset add theirs."""

from __future__ import annotations

from mmud.errors import declare

RLE_INVALID = declare(
    "MM201",
    "invalid run-length encoding",
    "Encode the mask again, for example with pycocotools.mask.encode on a Fortran-ordered uint8 array.",
    "The counts of a COCO run-length encoding are not readable: a character outside the alphabet, a run that is negative, "
    "or runs whose sum is not height times width. Such a mask is never handed to compiled code.",
)
MASK_SIZE = declare(
    "MM202",
    "mask and image differ in size",
    "Give the mask the image's height and width, in this order.",
    "A mask's size is [height, width] and must equal the image's. Swapped sides are the usual cause.",
)
POLYGON_INVALID = declare(
    "MM203",
    "malformed polygon",
    "Give each polygon as x1, y1, x2, y2, …: an even count of at least six finite numbers.",
    "A polygon has an odd count of numbers, fewer than three points, a number that is not finite, or a point absurdly far "
    "outside the image. COCO's own code reads four numbers as a box and fails on fewer.",
)
SEGMENTATION_FORM = declare(
    "MM205",
    "unknown form of segmentation",
    "Give polygons, an uncompressed RLE, a compressed RLE, or a list of RLEs.",
    "A segmentation is none of COCO's forms: a list of polygons, a flat polygon, {size, counts} with a list or a string of "
    "counts, or a list of those.",
)
TAG_MALFORMED = declare(
    "MM301",
    "malformed tag",
    "Write the tag as <LCL-i> with i from 1, or remove it.",
    "Text holds something that looks like a tag and is not one, such as <LCL 2>, <LCL-> or <lcl-2. It would be read as "
    "plain words and its object would count as never mentioned.",
)
TAG_DANGLING = declare(
    "MM302",
    "tag points at no object",
    "Renumber the tag, or add the object it means.",
    "A tag's number is 0 or larger than the number of the sample's objects.",
)
