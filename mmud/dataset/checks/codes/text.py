"""MM4xx: captions, questions, answers and phrases."""

from __future__ import annotations

from mmud.errors import Severity, declare

CAPTION_EMPTY = declare(
    "MM401",
    "no caption",
    "Write a caption, or draft one with `mmud annotate`.",
    "The sample has no caption, so that captioning and generation cannot use it.",
    severity=Severity.WARNING,
)
QUESTION_MISSING = declare(
    "MM402",
    "no question and no answer",
    "Draft them with `mmud annotate`, if reasoning segmentation is wanted.",
    "Sources without questions are built this way on purpose; the sample serves the other tasks.",
    severity=Severity.INFO,
)
ANSWER_EMPTY = declare(
    "MM403",
    "question without an answer",
    "Write the answer, or remove the question.",
    "A question without an answer trains a model to say nothing, and cannot be scored.",
)
ANSWER_ALONE = declare(
    "MM404",
    "answer without a question",
    "Write the question, or remove the answer.",
    "An answer whose question is lost has no use; usually the two were split at the wrong place.",
)
PHRASE_EMPTY = declare(
    "MM405",
    "empty phrase",
    "`mmud validate --fix` removes it.",
    "A phrase holds nothing but white space, so that it means every object and none.",
    fixable=True,
)
PHRASES_MISSING = declare(
    "MM406",
    "object without a phrase",
    "Nothing, if the object is only a target of answers; else write a phrase.",
    "No phrase means this object, so that the referring task leaves it out.",
    severity=Severity.INFO,
)
CAPTION_SHORT = declare(
    "MM407",
    "caption too short",
    "Write a caption that describes the image.",
    "The caption has fewer than 5 words. The captions of this dataset are long (about 120 tokens); shortness is one "
    "of the two named reasons for rejecting a draft.",
    severity=Severity.WARNING,
)
QUESTION_SHORT = declare(
    "MM408",
    "question too short",
    "Write a whole question.",
    "The question has fewer than 3 words, too few to ask for anything that needs reasoning.",
    severity=Severity.WARNING,
)
ANSWER_SHORT = declare(
    "MM409",
    "answer without words",
    "Write an answer that names what its tags point at.",
    "Without its tags the answer has no word left.",
    severity=Severity.WARNING,
)
IMAGE_NOT_NEEDED = declare(
    "MM410",
    "question answered without the image",
    "Ask something that only this image can answer, or reject the pair.",
    "A heuristic on words, for people to look at. It reports a pair in two cases. (1) The pair says nothing of this "
    "sample: neither question nor answer has a tag, shares a content word with a phrase, a category or the caption, "
    "or points at the image (image, picture, scene, this, these, shown, here and the like). (2) A question with a "
    "question word and without 'or' whose answer, free of tags, has no content word that the question lacks: the "
    "answer repeats the question.",
    severity=Severity.WARNING,
)
CAPTION_IS_PHRASE = declare(
    "MM411",
    "caption equals a phrase",
    "Write a caption of the whole image.",
    "The caption is the same text as a phrase of an object, apart from case and white space: a field was filled from "
    "the wrong column.",
    severity=Severity.WARNING,
)
ANSWER_IS_QUESTION = declare(
    "MM412",
    "answer equals question",
    "Write the answer.",
    "Question and answer are the same text, apart from tags, case and white space: a field was filled from the wrong "
    "column.",
)
CONTROL_CHARACTER = declare(
    "MM413",
    "control character",
    "`mmud validate --fix` writes a space in its place.",
    "A text holds a control character (U+0000 to U+001F other than tab and line feed, U+007F to U+009F). Java tools, "
    "XML and terminals stumble over them.",
    severity=Severity.WARNING,
    fixable=True,
)
LINE_SEPARATOR = declare(
    "MM414",
    "character that some tools take for a line end",
    "`mmud validate --fix` writes a space in its place.",
    "A text holds a carriage return, vertical tab, form feed, U+0085, U+2028 or U+2029. The tokenizer behind the "
    "usual caption metrics reads such a caption as two lines and moves every later caption by one image, without an "
    "error.",
    severity=Severity.WARNING,
    fixable=True,
)
TEMPLATE_LEFTOVER = declare(
    "MM415",
    "leftover of a template",
    "Remove the marker and what belongs to it.",
    "A text holds a marker of a file format or prompt, such as ##Question, <SEP>, [INST] or {caption}. It would be "
    "learned and scored as words.",
)
REFUSAL = declare(
    "MM416",
    "a language model speaks of itself",
    "Reject the draft and make a new one.",
    "A text says that its writer is a language model or cannot see the image, as in 'As an AI' or 'I cannot see'. The "
    "draft says nothing about the image.",
    severity=Severity.WARNING,
)
PHRASE_REPEATED = declare(
    "MM417",
    "phrase repeated for one object",
    "`mmud validate --fix` keeps the first.",
    "An object lists the same phrase twice; sampling phrases then favours it.",
    severity=Severity.INFO,
    fixable=True,
)
PHRASE_SHARED = declare(
    "MM418",
    "same phrase for two objects",
    "Write phrases that tell the objects apart, or keep both if the phrase means both.",
    "Two objects of a sample share a phrase, apart from case and white space, so that the phrase does not single out "
    "either. A prediction of the other object is then scored as wrong.",
    severity=Severity.WARNING,
)
NOT_NFC = declare(
    "MM419",
    "text is not in normal form C",
    "`mmud validate --fix` composes it; it looks the same.",
    "Letters are written with separate accents. Texts that look equal then differ, in matching as in tokenizers.",
    severity=Severity.INFO,
    fixable=True,
)
MOJIBAKE = declare(
    "MM420",
    "wrongly decoded text",
    "Read the source again with its own encoding; the lost characters cannot be guessed safely.",
    "A text holds U+FFFD or pairs such as 'Ã©' and 'â€™' that arise when UTF-8 is read as Latin-1 or Windows-1252.",
    severity=Severity.WARNING,
)
INVISIBLE_CHARACTER = declare(
    "MM421",
    "invisible character",
    "Remove it, unless the script needs it.",
    "A text holds a zero-width space, a byte-order mark, a soft hyphen, or a mark that changes the writing direction. "
    "Texts that look equal then differ, and reviewers see something other than what is stored.",
    severity=Severity.INFO,
)
SPACES = declare(
    "MM422",
    "space at the start or end",
    "`mmud validate --fix` removes it.",
    "A text begins or ends with white space.",
    severity=Severity.INFO,
    fixable=True,
)
