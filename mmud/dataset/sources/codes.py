"""MM70x to MM74x and MM76x: reading sources. (MM75x is building, MM77x the synthetic world.)"""

from __future__ import annotations

from mmud.errors import ExitCode, Severity, declare

# -- MM70x: pickles ----------------------------------------------------------------------------------------------------------

PICKLE_FORBIDDEN = declare(
    "MM701",
    "pickle asks for more than plain data",
    "Do not open this file with pickle; ask whoever made it for JSON, or for a pickle of lists, numbers and text.",
    "A pickle is a program: loading it can run any command. This reader makes only lists, tuples, dictionaries, numbers, "
    "text and numeric numpy arrays. The file names a function or class, an extension code, a persistent id, or an opcode that "
    "makes objects. Nothing of it was executed.",
)
PICKLE_MALFORMED = declare(
    "MM702",
    "pickle cannot be read",
    "Copy or download the file again and compare its size and checksum with the original's.",
    "The file is no pickle, is cut off, or uses the stack and memo of its format in a way that no pickler does.",
)
PICKLE_TOO_LARGE = declare(
    "MM703",
    "pickle is too large to read safely",
    "If the file is honest, write it again as one list of records with pickle.dump, or as JSON.",
    "Reading is bounded: in bytes, in objects alive at once, in the length of one text and in nesting. A few bytes of a "
    "pickle can ask for gigabytes; a file beyond the bounds is refused before it takes the machine down.",
)
PICKLE_CONTENT = declare(
    "MM704",
    "pickle holds something else",
    "Name the file that the source's layout asks for; docs/sources.md shows each layout.",
    "The pickle could be read, but what it holds is not what this source reads at this place.",
)

# -- MM71x: JSON -------------------------------------------------------------------------------------------------------------

JSON_SYNTAX = declare(
    "MM710",
    "not JSON",
    "Correct the file at the line that is named, or copy it again if it ends too early.",
    "The file is cut off, or is not JSON at the place that is named.",
)
JSON_ENCODING = declare(
    "MM711",
    "JSON is not UTF-8",
    "Write the file as UTF-8 without a byte order mark.",
    "JSON is UTF-8. A byte order mark is skipped. Bytes that are not UTF-8 are read as Latin-1, which may be wrong for what they "
    "were meant to say; UTF-16 and UTF-32 are refused.",
    severity=Severity.WARNING,
)
JSON_DUPLICATE_KEY = declare(
    "MM712",
    "key given twice in one JSON object",
    "Remove one of the two.",
    "JSON leaves open which of two values of one key counts. The last is used, as most programs do.",
    severity=Severity.WARNING,
)
JSON_NOT_FINITE = declare(
    "MM713",
    "NaN or infinity in JSON",
    "Find out what wrote it: JSON has no such numbers, and no annotation means one.",
    "Python writes NaN and Infinity into JSON, other programs refuse them. Such a number is never kept: the field that holds it "
    "is treated as missing or the object as broken.",
    severity=Severity.WARNING,
)
JSON_SHAPE = declare(
    "MM714",
    "JSON of another shape",
    "Name the file that the source's layout asks for; docs/sources.md shows each layout.",
    "The file is JSON, but its outermost value or one of its lists is not what this source reads.",
)
JSON_TOO_LARGE = declare(
    "MM715",
    "JSON is too large or too deep to read safely",
    "If the file is honest, split it, or flatten it.",
    "Reading is bounded in the length of one element and in nesting.",
)
JSON_EXTRA_KEY = declare(
    "MM716",
    "unexpected key in a JSON file",
    "Nothing has to be done; remove the key if other tools stumble over it.",
    "The file has a top-level key that its layout does not have, as the caption files of one public COCO subset have a "
    "`categories`. It was not read.",
    severity=Severity.INFO,
)
JSON_ENTRY = declare(
    "MM717",
    "entry of another type",
    "Correct the entry that the message names, or leave it out.",
    "A list of a JSON file holds an entry that lacks a field that is needed, or has it with another type. The entry was "
    "left out.",
    severity=Severity.WARNING,
)

# -- MM72x, MM73x: the official release --------------------------------------------------------------------------------------

RECORD_SHAPE = declare(
    "MM720",
    "record is no 12-tuple of the release",
    "Check that the file is {train,valid,test}.pkl or *_withlength.pkl of the release.",
    "A record of the release has 12 fields (10 before the token counts were added), the first of which names its image. This one "
    "has another number, or no image and no size, so nothing could be kept.",
)
RECORD_FIELD = declare(
    "MM721",
    "field of the release with another type",
    "Compare the record with docs/sources.md; the value as it was is kept in the sample's provenance.",
    "A field of the 12-tuple has a type or value that the release's layout does not have. What could be read of it was kept.",
    severity=Severity.WARNING,
)
RECORD_WITHOUT_LENGTHS = declare(
    "MM722",
    "record without token counts",
    "Nothing has to be done; *_withlength.pkl has the counts.",
    "The record has 10 fields: those of the first form of the release, before caption_len and enriched_text_len.",
    severity=Severity.INFO,
)
WINDOWS_FOLDER = declare(
    "MM723",
    "image path with a Windows folder",
    "Nothing has to be done: only the file's name counts.",
    "Some records name their image with the folder of the machine where the release was made, as in D:\\images\\1603.jpg.",
    severity=Severity.INFO,
)
LISTS_DIFFER = declare(
    "MM724",
    "lists of a record differ in length",
    "Check the objects of this sample: texts, masks, boxes and categories belong together by their position.",
    "The lists of texts, masks, boxes, categories and category names of a record should have one entry an object. Objects up "
    "to the longest list were kept; what is missing was left empty.",
    severity=Severity.WARNING,
)
TAG_REPEATED = declare(
    "MM725",
    "tag repeated in an answer",
    "Nothing has to be done: a repeated tag means the same object.",
    "An answer mentions an object more than once. The official training code then has more mask targets than tags; here each "
    "object counts once.",
    severity=Severity.INFO,
)
OBJECT_UNTAGGED = declare(
    "MM726",
    "object that the answer does not mention",
    "Nothing has to be done: such objects still serve referring segmentation.",
    "Not every object of a record is tagged in its answer.",
    severity=Severity.INFO,
)
ENRICHED_TEXT_FORM = declare(
    "MM727",
    "question and answer could not be told apart",
    "Read the text in the sample's provenance and write question and answer by hand, or leave the sample out.",
    "The enriched text is not of the form `##Question: … ##Answer: <SEP> …`. What could be told apart was kept as question "
    "and answer, otherwise the whole text as answer; the text as it was is in the sample's provenance.",
    severity=Severity.WARNING,
)
OBJ_TAGS = declare(
    "MM728",
    "tags written <OBJ-i>",
    "Nothing has to be done: they are read as <LCL-i>.",
    "The paper's figures write <OBJ-i>, the release <LCL-i>.",
    severity=Severity.INFO,
)
SEVERAL_PARTS = declare(
    "MM729",
    "mask of several parts",
    "Nothing has to be done: the mask is the union of its parts.",
    "RefCLEF's objects, and many of COCO's, have several parts.",
    severity=Severity.INFO,
)
PARTS_OVERLAP = declare(
    "MM730",
    "parts of a mask overlap",
    "Nothing has to be done here; scores of the official code for this object are not comparable.",
    "Two parts of one object share pixels. The official loader adds the parts and keeps the pixels whose sum is 1, so that it "
    "loses the shared ones; here the mask is the union.",
    severity=Severity.WARNING,
)
PHRASE_PUNCTUATION = declare(
    "MM731",
    "phrase with punctuation that the official code drops",
    "Nothing has to be done; to compare with the official numbers, leave the sample out.",
    "The official training code drops a sample when one of its phrases has any of , . : ? ! \" ' # @ $ % / \\ & ^ *.",
    severity=Severity.INFO,
)
TOO_MANY_OBJECTS = declare(
    "MM732",
    "more objects than the official code takes",
    "Nothing has to be done; to compare with the official numbers, leave the sample out.",
    "The official example run drops samples of more than 5 objects.",
    severity=Severity.INFO,
)
TEXT_TOO_LONG = declare(
    "MM733",
    "text longer than the official code takes",
    "Nothing has to be done; to compare with the official numbers, leave the sample out.",
    "The official example run drops samples whose caption or enriched text has more than 300 LLaMA tokens.",
    severity=Severity.INFO,
)
NOT_A_POLYGON = declare(
    "MM734",
    "masks that the official code drops",
    "Nothing has to be done; to compare with the official numbers, leave the sample out.",
    "The official training code drops a sample whose first mask is not a flat polygon of floats: all of RefCLEF.",
    severity=Severity.INFO,
)
SIZE_SWAPPED = declare(
    "MM735",
    "height and width swapped",
    "Nothing has to be done: the sample has its image's size; the record's is in its provenance.",
    "The record's height and width are those of the image the other way round, as its image or its masks show.",
    severity=Severity.WARNING,
)
IMAGE_REPEATED = declare(
    "MM736",
    "image named by several records",
    "Check whether the records are meant to be two samples; `mmud leakage` tells whether they lie in different splits.",
    "Two records of the release name the same image file. The later sample's id has a number appended.",
    severity=Severity.WARNING,
)
TEXT_UNENCODABLE = declare(
    "MM737",
    "text with half a character",
    "Correct the text; the broken half was replaced by U+FFFD.",
    "A text holds half of a surrogate pair, which no encoding can store. It comes from cutting UTF-16 text in the middle of a "
    "character.",
    severity=Severity.WARNING,
)
FEATURE_MISSING = declare(
    "MM738",
    "image feature missing",
    "Copy the feature's file, or build without --features.",
    "The features folder has no IMAGE.pkl for this sample.",
    severity=Severity.WARNING,
)
FEATURE_INVALID = declare(
    "MM739",
    "image feature unusable",
    "Make the feature again: it is a pickle of 512 finite numbers.",
    "The file cannot be read, or does not hold 512 finite numbers (the ViT-B/32 image space of CLIP).",
    severity=Severity.WARNING,
)

# -- MM74x: objects and images of every source -------------------------------------------------------------------------------

MASK_UNUSABLE = declare(
    "MM740",
    "mask that cannot be used",
    "Correct the mask at its source; the object was kept with its box and phrases only.",
    "An object's mask is malformed: a polygon of fewer than three points, runs that do not cover the image, another size. The "
    "message says which.",
    severity=Severity.WARNING,
)
BOX_DISAGREES = declare(
    "MM741",
    "source's box is not its mask's",
    "Look at the object: `mmud browse` shows both. The usual cause is the box of a whole object beside the mask of one part.",
    "A side of the source's box is more than 5 pixels, and more than 5 % of the box, away from the mask's own. Both were kept.",
    severity=Severity.INFO,
)
BOX_UNUSABLE = declare(
    "MM742",
    "box that cannot be used",
    "Correct the box at its source: x, y, width, height, finite, not negative.",
    "An object's box is missing, has other than four numbers, or a negative or infinite one. The mask's box was taken, or zeros.",
    severity=Severity.WARNING,
)
AREA_DISAGREES = declare(
    "MM743",
    "source's area is not its mask's",
    "Nothing has to be done: both were kept. COCO's crowds are known for it.",
    "The source's area differs from the mask's by more than 10 % and 50 pixels.",
    severity=Severity.INFO,
)
MASK_MISSING = declare(
    "MM744",
    "object without a mask",
    "Give the instances file that holds the masks, if there is one; the object was kept with its box.",
    "The source gives a box, or nothing, and no mask for this object.",
    severity=Severity.INFO,
)
SIZE_UNKNOWN = declare(
    "MM745",
    "image of unknown size",
    'Give the images, an instances file or a sizes file; or `sizes = "boxes"` to take the smallest size that holds all boxes.',
    "A sample needs its image's size, and neither the annotations nor an image file gives it. The image was left out.",
    severity=Severity.WARNING,
)
SIZE_FROM_BOXES = declare(
    "MM746",
    "size of an image assumed",
    "Give the images or an instances file for the true size.",
    "The size of the image is not known. As asked for, the smallest size that holds all its boxes was taken, or, where there "
    "is no box, the largest that COCO has. Masks cannot be drawn at such a size, and boxes cannot be checked against it.",
    severity=Severity.WARNING,
)
PHRASE_MISSING = declare(
    "MM747",
    "referring expression without words",
    "Nothing has to be done: the object was kept without this phrase.",
    "A referring expression is empty, or has no text of the right type.",
    severity=Severity.WARNING,
)

# -- MM76x: refer and COCO layouts -------------------------------------------------------------------------------------------

LAYOUT_UNKNOWN = declare(
    "MM760",
    "folder of another layout",
    "docs/sources.md shows the layout of each source.",
    "None of the files that the source's layout asks for is in the folder.",
    exit_code=ExitCode.USAGE,
)
REFERENCE_BROKEN = declare(
    "MM761",
    "reference to something that is not there",
    "Check that the files belong together: refs, instances and captions of the same images.",
    "A referring expression, annotation or caption names an image, annotation or category that its file does not have.",
    severity=Severity.WARNING,
)
ID_REPEATED = declare(
    "MM762",
    "id given twice",
    "Check the file: ids are unique in COCO's layout. The message says what was kept.",
    "Two images, annotations, captions, categories or expressions of one file have the same id.",
    severity=Severity.WARNING,
)
IMAGE_WITHOUT_ANNOTATIONS = declare(
    "MM763",
    "image without annotations",
    'Nothing has to be done; `empty = "skip"` leaves such images out.',
    "The file lists an image and no object of it.",
    severity=Severity.INFO,
)
SPLIT_MIXED = declare(
    "MM764",
    "expressions of one image in several splits",
    "Nothing has to be done: the image went where evaluation is strictest. RefCOCOg's google split is known for it; use umd.",
    "The expressions of one image lie in different splits, of one set or across the sets that are merged. Test goes before "
    "valid before train, so that no evaluated image is trained on.",
    severity=Severity.WARNING,
)
REF_WITHOUT_ANNOTATION = declare(
    "MM765",
    "referring expression without an annotation id",
    "Nothing has to be done: the object was kept with its box, if it has one.",
    "The expression names no annotation of the instances file, so its object has no mask and phrases of other expressions "
    "that mean the same object cannot be joined to it.",
    severity=Severity.INFO,
)
SPLIT_UNKNOWN = declare(
    "MM766",
    "split of another name",
    "Check the name; train, val, valid, test, testA, testB and testC are known.",
    "The split of an expression is none that is known. Its own name was kept.",
    severity=Severity.WARNING,
)
NAME_DERIVED = declare(
    "MM767",
    "image name made from its id",
    "Nothing has to be done if the images are COCO's train2014.",
    "The expression names no image file and no instances file does; COCO train2014's form of name was assumed.",
    severity=Severity.INFO,
)

# -- MM79x: Label Studio ----------------------------------------------------------------------------------------------------

TASK_UNREADABLE = declare(
    "MM790",
    "no Label Studio task",
    "Export the project as JSON (not JSON-MIN, CSV or YOLO) and name that file.",
    "An entry of the file is no task of Label Studio's full JSON: it lacks the data that `mmud export --to label-studio` put "
    "into the task, or its annotations are of another form.",
)
TASK_OF_NO_SAMPLE = declare(
    "MM791",
    "task of a sample that the dataset lacks",
    "Name the dataset that was exported as --data. The task was not read.",
    "The task's sample_id is that of no sample of the dataset.",
    severity=Severity.WARNING,
)
REGION_UNREADABLE = declare(
    "MM792",
    "region that cannot be read",
    "Look at the task in Label Studio: regions must lie on the image as it was exported, at its size and not rotated.",
    "A region's points, box or brush are malformed, or were drawn on an image of another size or rotation.",
)
FOREIGN_RESULT = declare(
    "MM793",
    "result or key that the export did not make",
    "Nothing has to be done if it is not meant for the dataset; it was not read.",
    "A task holds a result of a control, or a key in its data, that the exported labelling interface does not have.",
    severity=Severity.WARNING,
)
SEVERAL_ANNOTATIONS = declare(
    "MM794",
    "several annotations of one task",
    "Delete all but one in Label Studio if the latest is not the right one.",
    "Several people annotated the task. The annotation that was changed last was taken.",
    severity=Severity.WARNING,
)
TASK_WITHOUT_ANNOTATION = declare(
    "MM795",
    "task that nobody annotated",
    "Nothing has to be done: the sample was kept as it is.",
    "The task has no annotation, or only cancelled ones.",
    severity=Severity.INFO,
)
OBJECTS_CHANGED = declare(
    "MM796",
    "objects added or deleted in Label Studio",
    "Nothing has to be done if that was meant; tags were renumbered.",
    "Regions were added or deleted. New objects follow those that were there; tags of deleted objects were taken out of the "
    "answer, and the others renumbered.",
    severity=Severity.INFO,
)
EDITED_TAGS_BROKEN = declare(
    "MM797",
    "broken tags in a text from Label Studio",
    "Correct the answer: tags are <LCL-i> with i from 1 to the number of objects.",
    "A text that was edited in Label Studio holds a malformed tag or one that points at no object. It was kept as it is.",
    severity=Severity.WARNING,
)
TASK_OF_OTHER_LABELS = declare(
    "MM798",
    "task exported from other labels",
    "Name the dataset that was exported as --data; or export this one and annotate that.",
    "Each task carries the labels that it was made from. The dataset has others now, so that importing would undo what was "
    "changed since.",
)
TASK_REPEATED = declare(
    "MM799",
    "two tasks of one sample",
    "Remove one of the two; the first was read.",
    "Two tasks of the files have the same sample_id.",
    severity=Severity.WARNING,
)
