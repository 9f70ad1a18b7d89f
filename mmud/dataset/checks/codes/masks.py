"""MM2xx: masks, boxes, areas and polygons. Tolerances are constants of the checks; docs/validation.md gives their reasons."""

from __future__ import annotations

from mmud.errors import Severity, declare

MASK_EMPTY = declare(
    "MM204",
    "empty mask",
    "Draw the mask, or remove the object and renumber the tags after it.",
    "A mask without a pixel is no target: it has IoU 0 with every prediction, or 1 with an empty one, depending on "
    "the protocol. It usually comes from a polygon thinner than a pixel or from a mask cut to another image's size.",
)
MASK_FULL = declare(
    "MM206",
    "mask covers the whole image",
    "Check that the mask is not inverted; keep it if the object does fill the image.",
    "Every pixel of the image is foreground. That is rarely an object: background and foreground were swapped, or a "
    "failed segmentation was replaced by ones.",
    severity=Severity.WARNING,
)
RLE_NOT_CANONICAL = declare(
    "MM207",
    "run-length encoding is not canonical",
    "`mmud validate --fix` rewrites it; the pixels stay the same.",
    "The same pixels have a shorter encoding: there are runs of length zero, or numbers written with more characters "
    "than needed. Equal masks then have unequal text, and pycocotools' merge loses what follows a run of length zero.",
    severity=Severity.INFO,
    fixable=True,
)
GEOMETRY_MISSING = declare(
    "MM208",
    "object has neither mask nor box",
    "Give the object a mask, or remove it and renumber the tags after it.",
    "Nothing says where the object is, so that no task can use it.",
)
BOX_OUTSIDE = declare(
    "MM209",
    "box reaches outside the image",
    "Cut the box to the image; check that width and height are not swapped.",
    "A side of the box lies more than one pixel outside the image. Corners given as x1, y1, x2, y2 instead of x, y, "
    "width, height are the usual cause.",
    severity=Severity.WARNING,
)
BOX_DISAGREES = declare(
    "MM210",
    "box and mask disagree",
    "Find out which of the two is right; a box can be computed from the mask.",
    "A side of the box is further from the mask's own tight box than the tolerance: 4 pixels or 2 % of the image's "
    "longer side, whichever is more. Slivers of polygons thinner than a pixel explain a few pixels, not more.",
    severity=Severity.WARNING,
)
AREA_DISAGREES = declare(
    "MM211",
    "area and mask disagree",
    "Find out which of the two is right; COCO's area of crowds is known to be off.",
    "The area differs from the mask's pixels by more than the tolerance: 4 pixels and half a pixel along the "
    "perimeter of the mask's box. Drawing an outline on pixels moves it by less than that. COCO evaluation sorts "
    "objects by size with this number.",
    severity=Severity.WARNING,
)
BOX_ABSENT = declare(
    "MM212",
    "box absent",
    "`mmud validate --fix` computes it from the mask.",
    "The box is missing or all zero, although the object has a mask with pixels.",
    severity=Severity.WARNING,
    fixable=True,
)
AREA_ABSENT = declare(
    "MM213",
    "area absent",
    "`mmud validate --fix` computes it from the mask.",
    "The area is missing or zero, although the object has a mask with pixels. Readers that sort objects by size take "
    "it for the smallest.",
    severity=Severity.WARNING,
    fixable=True,
)
POLYGON_CROSSES = declare(
    "MM214",
    "polygon crosses itself",
    "Draw the outline again without the crossing, or keep it if the mask looks right.",
    "Two edges of the polygon cross. Which side is inside then depends on the tool's fill rule, so that two readers "
    "of one file may disagree on the pixels.",
    severity=Severity.INFO,
)
POLYGONS_DISAGREE = declare(
    "MM215",
    "polygons and mask disagree",
    "Find out which of the two is right; a mask can be drawn from the polygons.",
    "The union of the polygons, drawn as COCO does, differs from the mask by more than the tolerance: 4 pixels and "
    "one pixel along the perimeter of the box of both. Often only the first of several polygons was drawn.",
    severity=Severity.WARNING,
)
PARTS_OVERLAP = declare(
    "MM216",
    "parts of one object overlap",
    "Nothing, if readers join parts by union; else merge the polygons.",
    "Polygons of one object share pixels. A reader that adds the parts up and keeps pixels whose sum is one, as the "
    "official release's loader does, loses the shared ones.",
    severity=Severity.INFO,
)
SEVERAL_PARTS = declare(
    "MM217",
    "object has several parts",
    "Nothing; an export that holds one polygon an object says what it loses.",
    "The object is drawn with more than one polygon, which is common where something stands in front of it. The "
    "official release keeps one flat polygon an object: keeping only the first part leaves a mean IoU of 0.65 with "
    "the whole.",
    severity=Severity.INFO,
)
POLYGON_JOINED = declare(
    "MM218",
    "polygon retraces an edge",
    "Split the polygon into its parts where the bridge is.",
    "An edge is walked in both directions, as when several parts or a hole were joined into one outline by a bridge. "
    "Outline-based measures then count the bridge as a border.",
    severity=Severity.INFO,
)
POLYGON_SPECK = declare(
    "MM219",
    "polygon of almost no area",
    "Remove the polygon, if the object has others.",
    "A polygon encloses less than one square pixel: a slip of the annotator's hand, or a line.",
    severity=Severity.INFO,
)
POLYGON_OUTSIDE = declare(
    "MM220",
    "polygon reaches outside the image",
    "Cut the polygon to the image; check that the polygon belongs to this image.",
    "A point of a polygon lies more than one pixel outside the image. Drawing cuts it off at the border, silently.",
    severity=Severity.WARNING,
)
MASK_SHARED = declare(
    "MM221",
    "two objects have one mask",
    "Merge the two objects into one with the phrases of both, and renumber the tags.",
    "Two objects of a sample have exactly the same pixels, so that a phrase or a tag for one is right for the other: "
    "the sample names one thing twice.",
    severity=Severity.WARNING,
)
MASK_NEARLY_SHARED = declare(
    "MM222",
    "two objects have nearly one mask",
    "Look at both: often one thing was annotated twice.",
    "The masks of two objects of a sample have an intersection over union of at least 0.9.",
    severity=Severity.INFO,
)
MASK_TINY = declare(
    "MM223",
    "mask of a few pixels",
    "Look at the object: it may be a speck that was left over.",
    "The mask has fewer than 10 pixels. One pixel more or less then moves the IoU by a tenth and more.",
    severity=Severity.INFO,
)
MASK_MISSING = declare(
    "MM224",
    "object has a box and no mask",
    "Give the object a mask; until then it cannot be a target of segmentation.",
    "The object has only a box. Some sources (RefCLEF without its masks, RefCOCO without COCO's instances) give no "
    "more.",
    severity=Severity.WARNING,
)
BOX_DEGENERATE = declare(
    "MM225",
    "box without extent",
    "Correct the box: x, y, width, height with both sides above 0.",
    "One side of the box is zero or negative while the box is not absent. Corners in the wrong order are the usual "
    "cause.",
)
