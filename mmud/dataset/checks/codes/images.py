"""MM5xx: image files; missing, unreadable and too large ones are declared in `mmud.codes`."""

from __future__ import annotations

from mmud.errors import Severity, declare

IMAGE_SIZE = declare(
    "MM504",
    "image and sample differ in size",
    "Correct width and height, and check that the masks are for this image.",
    "The image's width and height are not the sample's. If they are swapped, look for a rotation in the image's EXIF "
    "data; if they are scaled, masks and image no longer fit.",
)
IMAGE_TRUNCATED = declare(
    "MM505",
    "image truncated or damaged",
    "Fetch the image again from its source.",
    "The header reads well and decoding fails further on: the file is cut off, or bytes in it changed. Some tools "
    "fill what is missing with grey and go on in silence.",
)
IMAGE_FORMAT = declare(
    "MM506",
    "image format that few tools read",
    "Convert the image to JPEG, PNG or WebP without changing its pixels.",
    "The image is readable, in a format (BMP, GIF, TIFF, PPM, several pictures in one file) that web pages and "
    "training pipelines often cannot read or read differently.",
    severity=Severity.WARNING,
)
IMAGE_EXTENSION = declare(
    "MM507",
    "image name says another format",
    "Rename the image after what it holds.",
    "The file name's ending is not that of the image's format. Tools that trust names pick the wrong decoder.",
    severity=Severity.INFO,
)
IMAGE_ROTATED = declare(
    "MM508",
    "image is rotated by EXIF",
    "Apply the rotation to the pixels and remove the tag, after checking which way the masks were drawn.",
    "EXIF data asks viewers to turn or mirror the image. Viewers do, most training code does not: masks fit only one "
    "of the two.",
    severity=Severity.WARNING,
)
IMAGE_MODE = declare(
    "MM509",
    "image is neither colour nor greyscale of 8 bits",
    "Convert the image to RGB.",
    "The pixels are CMYK, a palette, transparent, or have another depth than 8 bits. Each tool turns them into RGB in "
    "its own way.",
    severity=Severity.INFO,
)
IMAGE_ABSENT = declare(
    "MM510",
    "sample has no image",
    "Build again with the images at hand.",
    "The sample has neither image bytes nor a path: all four tasks need an image.",
)
IMAGE_ANIMATED = declare(
    "MM511",
    "image has several frames",
    "Keep the one frame that the masks were drawn on.",
    "The file is an animation. Tools show different frames of it.",
    severity=Severity.WARNING,
)
IMAGE_BLANK = declare(
    "MM512",
    "image of one colour",
    "Fetch the image again from its source.",
    "All pixels are alike. Placeholders for deleted photographs and failed downloads look like this.",
    severity=Severity.WARNING,
)
IMAGE_TINY = declare(
    "MM513",
    "image of a few pixels",
    "Check that the image is not a thumbnail or a tracking pixel.",
    "The shorter side has fewer than 32 pixels, too few for any of the tasks.",
    severity=Severity.WARNING,
)
