"""The REFER layout of the RefCOCO family: ``refs(SPLIT_BY).p`` with ``instances.json``, as its readers open it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from mmud.dataset.exporters.base import Exporter, Item, Option
from mmud.dataset.exporters.ids import id_tables
from mmud.dataset.exporters.instances import COCO_LOSSES, Instances
from mmud.dataset.exporters.names import safe_stem
from mmud.dataset.exporters.published_refs import PublishedRef, published_refs, sentence_ids
from mmud.dataset.exporters.streams import json_list, json_table, pickled_list
from mmud.records import MaskedObject, Sample

DATASETS = ("refcoco", "refcoco+", "refcocog", "refclef")
SPLIT_NAMES = {"valid": "val", "validation": "val"}
"""REFER's readers know train, val, test, testA and so on."""

_WORD = re.compile(r"\w+(?:['’]\w+)*")
_TEXT = "the layout has refs, instances and captions and no place for it"
NEW_REF_IDS = "repeated ref ids"
REFLESS = "ref ids of objects without a phrase"
RENAMED_SPLITS = "split names"
JOINED_REFS = "refs that share an object"
SENTENCE_IDS = "published sentence ids"


class ReferExporter(Exporter):
    """``DATASET/refs(SPLIT_BY).p`` and ``.json``, ``DATASET/instances.json``, ``DATASET/captions.json``, and the images."""

    name: ClassVar[str] = "refer"
    title: ClassVar[str] = "REFER layout of RefCOCO, RefCOCO+, RefCOCOg and RefCLEF"
    reads_masks: ClassVar[bool] = True
    cannot_hold: ClassVar[Mapping[str, str]] = {
        "questions": _TEXT,
        "answers": _TEXT,
        "tags": _TEXT,
        "provenance": _TEXT,
        NEW_REF_IDS: "an id occurs once: the first ref of each kept it, these were given a new one",
        REFLESS: "a ref has a sentence; the objects are kept as annotations",
        RENAMED_SPLITS: "REFER's readers call the split val; refs without a published split of their own have that name",
        JOINED_REFS: "a dataset joins the refs of several sets about one object; they are written as one",
        SENTENCE_IDS: "an id occurs once and goes with one phrase; these sentences were given new ones",
        **COCO_LOSSES,
    }
    options: ClassVar[Mapping[str, Option]] = {
        "dataset": Option("the folder's name; REFER's readers accept these alone", "refcoco", DATASETS),
        "split_by": Option("what stands in refs(…).p: unc, umd, google, or a name of your own", "mmud"),
    }

    def losses(self, sample: Sample) -> Iterator[tuple[str, int]]:
        yield REFLESS, sum(item.ref_id is not None and not item.phrases for item in sample.objects)

    def begin(self) -> None:
        """Refs and instances of all splits share their files: they stay open from the first split to the last."""
        job = self.job
        self._ids = id_tables(job.dataset)
        self._instances = Instances(job, self._ids, rle_as_list=True)
        clef = job.options["dataset"] == "refclef"
        self._images = "images/saiapr_tc-12" if clef else "images/mscoco/images/train2014"
        self._sentences = sentence_ids(job.dataset)
        self._captions = 0
        folder = job.folder / job.options["dataset"]
        refs = f"refs({safe_stem(job.options['split_by'])})"
        info = {"description": f"{job.dataset.name}: exported from MMUD", "version": job.dataset.fingerprint}
        head, arrays = {"info": info}, ("images", "annotations")
        self._instance_file = job.stack.enter_context(json_table(folder / "instances.json", head, arrays))
        self._caption_file = job.stack.enter_context(json_table(folder / "captions.json", head, arrays))
        self._pickle = job.stack.enter_context(pickled_list(folder / f"{refs}.p"))
        self._json = job.stack.enter_context(json_list(folder / f"{refs}.json"))

    def write_split(self, split: str, items: Iterator[Item]) -> None:
        for item in items:
            published = published_refs(item.sample.provenance)
            name = self.job.image_name(item, self._images, original=True)
            self.job.save_image(item, f"{self._images}/{name}", split)
            image = self._instances.image(item.sample, name)
            self._instance_file.add("images", image)
            self._caption_file.add("images", image)
            if item.sample.caption:
                self._captions += 1
                row = {"id": self._captions, "image_id": image["id"], "caption": item.sample.caption}
                self._caption_file.add("annotations", row)
            for number, masked in enumerate(item.sample.objects, start=1):
                annotation = self._instances.annotation(item, number, image["id"])
                self._instance_file.add("annotations", annotation)
                if masked.phrases:
                    self._add_ref(self._ref(masked, annotation, name, split, published.get(number, [])))
            self.job.counts["image rows"] += 1
            self.job.counts["annotations"] += len(item.sample.objects)

    def _ref(
        self,
        masked: MaskedObject,
        annotation: Mapping[str, Any],
        file_name: str,
        split: str,
        published: Sequence[PublishedRef],
    ) -> dict[str, Any]:
        ref_id, kept = self._ids.refs.take(masked.ref_id)
        self.job.losses[NEW_REF_IDS] += masked.ref_id is not None and not kept
        self.job.losses[JOINED_REFS] += max(0, len(published) - 1)
        only = published[0] if len(published) == 1 else PublishedRef("", (), ())
        texts = only.sentences(masked.phrases)
        source = only.of(len(texts))
        self.job.losses[RENAMED_SPLITS] += not source.split and split in SPLIT_NAMES
        sentences = self._sentences_of(texts, source)
        self.job.losses[SENTENCE_IDS] += sum(len(ref.known_ids) for ref in published) if not source.sent_ids else 0
        return {
            "ref_id": ref_id,
            "ann_id": annotation["id"],
            "image_id": annotation["image_id"],
            "category_id": annotation["category_id"],
            "split": source.split or SPLIT_NAMES.get(split, split),
            "file_name": file_name,
            "sent_ids": [sentence["sent_id"] for sentence in sentences],
            "sentences": sentences,
        }

    def _sentences_of(self, phrases: Sequence[str], source: PublishedRef) -> list[dict[str, Any]]:
        sentences = []
        ids = source.sent_ids or (None,) * len(phrases)
        for phrase, raw, own in zip(phrases, source.raw or phrases, ids, strict=True):
            number, kept = self._sentences.take(own)
            self.job.losses[SENTENCE_IDS] += own is not None and not kept
            tokens = _WORD.findall(phrase.lower())
            sentences.append({"sent_id": number, "sent": phrase, "raw": raw, "tokens": tokens})
        return sentences

    def _add_ref(self, ref: dict[str, Any]) -> None:
        self._pickle.add(ref)
        self._json.add(ref)
        self.job.counts["refs"] += 1
        self.job.counts["sentences"] += len(ref["sentences"])

    def finish(self) -> None:
        licenses = self._instances.licenses.rows()
        self._instance_file.tail = {"categories": self._ids.categories.rows(), "licenses": licenses}
        self._caption_file.tail = {"licenses": licenses}
