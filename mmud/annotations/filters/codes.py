"""MM470 to MM490: why a caption, or a question with its answer, is not kept; docs/filters.md has rules and figures."""

from __future__ import annotations

from mmud.errors import ExitCode, Severity, declare

TOO_SHORT = declare(
    "MM470",
    "label too short to keep",
    "Draft it again and ask for more, or lower the threshold of the filter `short`.",
    "A caption, question or answer has fewer words than the filter `short` asks for. Too short is the first of the two reasons "
    "for which the paper's authors rejected drafts.",
    severity=Severity.WARNING,
)
SAYS_LITTLE = declare(
    "MM471",
    "label says next to nothing",
    "Draft it again.",
    "A text has hardly any different words that carry content, most of its characters are no letters, or it is so regular that "
    "it compresses to a small part of its length. The paper calls such drafts meaningless.",
    severity=Severity.WARNING,
)
REPEATS_ITSELF = declare(
    "MM472",
    "label repeats itself",
    "Draft it again; a penalty on repetition helps.",
    "A word comes several times in a row, or a large part of the text consists of runs of words that it has twice: what a "
    "language model writes that cannot find an end.",
    severity=Severity.WARNING,
)
NOT_A_LABEL = declare(
    "MM473",
    "words about the task in place of a label",
    "Draft it again.",
    "A text refuses ('I cannot see'), speaks of its writer as a model, keeps a marker of a prompt, or wraps the label in talk "
    "such as 'Here is a caption'.",
    severity=Severity.WARNING,
)
IMAGE_NOT_USED = declare(
    "MM474",
    "answer known without the image",
    "Ask something that only this image can answer.",
    "A model that was shown the question alone gave the answer; or, where no model was asked, the words of the pair say that it "
    "needs no image, by the rule of MM410. The second of the paper's two reasons.",
    severity=Severity.WARNING,
)
NAMES_NO_OBJECT = declare(
    "MM475",
    "label names no object of the sample",
    "Draft it again with the objects' names in the prompt.",
    "No word of the text names any of the sample's objects by its category, a synonym or a noun of its phrases, and no tag "
    "points at one.",
    severity=Severity.WARNING,
)
NAMES_ABSENT_OBJECT = declare(
    "MM476",
    "label names a thing that the sample lacks",
    "Look at the image: the word is wrong, or the object was never annotated.",
    "The text names a category of the dataset that none of the sample's objects has. This proves a mistake only where every "
    "object of these categories is annotated.",
    severity=Severity.WARNING,
)
NAMED_WITHOUT_TAG = declare(
    "MM477",
    "object named without its tag",
    "`mmud link` puts the tag behind the mention.",
    "An answer names an object for certain, and no tag of the answer points at it.",
    severity=Severity.INFO,
)
TAG_BEHIND_OTHER_WORD = declare(
    "MM478",
    "tag behind the word for something else",
    "Put the tag behind the mention of its object, or change its number.",
    "The noun right before a tag names a category, and the object that the tag points at is of another one.",
    severity=Severity.WARNING,
)
COUNT_CONTRADICTED = declare(
    "MM479",
    "number of things contradicted by the objects",
    "Count again.",
    "The text gives a number of things that is larger than the number of the sample's objects that could be meant, or a number "
    "that the tags right behind it do not come to.",
    severity=Severity.WARNING,
)
NOT_ENGLISH = declare(
    "MM480",
    "label not in English",
    "Draft it again and ask for English.",
    "Most letters are of another script, or the small words of another language outnumber English ones.",
    severity=Severity.WARNING,
)
LABEL_REPEATED = declare(
    "MM481",
    "label that another sample has",
    "Draft it again.",
    "A caption, or a question with its answer, is word for word that of a sample whose id comes first.",
    severity=Severity.WARNING,
)
LABEL_NEARLY_REPEATED = declare(
    "MM482",
    "label that is nearly another sample's",
    "Draft it again.",
    "A caption, or a question with its answer, shares most runs of three words with that of a sample whose id comes first.",
    severity=Severity.WARNING,
)
FILTERS_INVALID = declare(
    "MM490",
    "settings of filters cannot be used",
    "docs/filters.md lists every filter with its settings; `mmud filter DIR --dry-run` prints those in force.",
    "The table [filters] names a filter or a setting that does not exist, or gives one a value that it cannot have.",
    exit_code=ExitCode.USAGE,
)
