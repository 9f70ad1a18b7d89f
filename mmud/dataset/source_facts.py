"""What is known of the public sources: whose images they use, under which terms, and what to cite.

Terms are those their publishers state; where a publisher states none, that is what stands here. A source's own ``describe()``
adds to this and wins where the two differ.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Reference:
    """A publication, enough of it to be found and cited."""

    key: str
    kind: str
    title: str
    authors: str
    year: int
    venue: str
    identifier: str = ""
    """A DOI or an arXiv number, without a prefix."""

    def bibtex(self) -> str:
        place = "booktitle" if self.kind == "inproceedings" else "journal"
        fields = {"title": "{" + self.title + "}", "author": self.authors, place: self.venue, "year": str(self.year)}
        if self.identifier:
            if self.identifier.startswith("10."):
                fields["doi"] = self.identifier
            else:
                fields |= {"eprint": self.identifier, "archiveprefix": "arXiv"}
        body = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
        return f"@{self.kind}{{{self.key},\n{body}\n}}"


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """One public source.

    Attributes:
        name: as samples name it in ``source``.
        title: its full name.
        homepage: where it is published.
        image_family: sources of one family number the same images alike; empty where a number alone names no image.
        images: where its images come from.
        label_terms: the terms of its labels.
        image_terms: the terms of its images.
        license: the labels' licence by the identifier that dataset hubs use; "other" where none is named.
        references: what to cite.
        notes: what a user should know before mixing it with others.
    """

    name: str
    title: str
    homepage: str
    image_family: str
    images: str
    label_terms: str
    image_terms: str
    license: str
    references: tuple[Reference, ...]
    notes: str = ""


_COCO_PAPER = Reference(
    "lin2014coco",
    "inproceedings",
    "Microsoft COCO: Common Objects in Context",
    "Lin, Tsung-Yi and Maire, Michael and Belongie, Serge and Hays, James and Perona, Pietro and Ramanan, Deva and "
    "Doll{\\'a}r, Piotr and Zitnick, C. Lawrence",
    2014,
    "European Conference on Computer Vision (ECCV)",
    "10.1007/978-3-319-10602-1_48",
)
_CAPTIONS_PAPER = Reference(
    "chen2015captions",
    "article",
    "Microsoft COCO Captions: Data Collection and Evaluation Server",
    "Chen, Xinlei and Fang, Hao and Lin, Tsung-Yi and Vedantam, Ramakrishna and Gupta, Saurabh and Doll{\\'a}r, Piotr and "
    "Zitnick, C. Lawrence",
    2015,
    "arXiv preprint",
    "1504.00325",
)
_REFERIT_PAPER = Reference(
    "kazemzadeh2014referit",
    "inproceedings",
    "ReferItGame: Referring to Objects in Photographs of Natural Scenes",
    "Kazemzadeh, Sahar and Ordonez, Vicente and Matten, Mark and Berg, Tamara",
    2014,
    "Conference on Empirical Methods in Natural Language Processing (EMNLP)",
    "10.3115/v1/D14-1086",
)
_CONTEXT_PAPER = Reference(
    "yu2016context",
    "inproceedings",
    "Modeling Context in Referring Expressions",
    "Yu, Licheng and Poirson, Patrick and Yang, Shan and Berg, Alexander C. and Berg, Tamara L.",
    2016,
    "European Conference on Computer Vision (ECCV)",
    "10.1007/978-3-319-46475-6_5",
)
_GOOGLE_PAPER = Reference(
    "mao2016generation",
    "inproceedings",
    "Generation and Comprehension of Unambiguous Object Descriptions",
    "Mao, Junhua and Huang, Jonathan and Toshev, Alexander and Camburu, Oana and Yuille, Alan and Murphy, Kevin",
    2016,
    "IEEE Conference on Computer Vision and Pattern Recognition (CVPR)",
    "10.1109/CVPR.2016.9",
)
_UMD_PAPER = Reference(
    "nagaraja2016context",
    "inproceedings",
    "Modeling Context Between Objects for Referring Expression Understanding",
    "Nagaraja, Varun K. and Morariu, Vlad I. and Davis, Larry S.",
    2016,
    "European Conference on Computer Vision (ECCV)",
    "10.1007/978-3-319-46493-0_48",
)
_SAIAPR_PAPER = Reference(
    "escalante2010saiapr",
    "article",
    "The segmented and annotated IAPR TC-12 benchmark",
    "Escalante, Hugo Jair and Hern{\\'a}ndez, Carlos A. and Gonzalez, Jesus A. and L{\\'o}pez-L{\\'o}pez, A. and Montes, "
    "Manuel and Morales, Eduardo F. and Sucar, L. Enrique and Villase{\\~n}or, Luis and Grubinger, Michael",
    2010,
    "Computer Vision and Image Understanding",
    "10.1016/j.cviu.2009.03.008",
)
_MMUD_PAPER = Reference(
    "neuraltuning2024",
    "article",
    "One Framework to Rule Them All: Unifying Multimodal Tasks with LLM Neural-Tuning",
    "Sun, Hao and Song, Yu and Liu, Jiaqing and Hu, Jihong and Chen, Yen-Wei and Lin, Lanfen",
    2024,
    "arXiv preprint; Pattern Recognition",
    "2408.03001",
)

_FLICKR = (
    "The photographs come from Flickr; each keeps the licence its photographer chose (several are NC or ND), and use must "
    "follow Flickr's terms. COCO does not own them."
)
_COCO_IMAGES = "COCO train2014 photographs"
_REFER_TERMS = (
    "The publishers' repository (lichengunc/refer) is under Apache-2.0; the expressions themselves carry no separate terms. "
    "Masks are COCO's (CC BY 4.0)."
)
_FAMILY_NOTE = (
    "RefCOCO, RefCOCO+ and RefCOCOg draw on the same COCO images with different splits: an image that one trains on may be "
    "another's test image. `mmud leakage` finds them."
)

_REFCOCO = SourceFacts(
    "refcoco",
    "RefCOCO",
    "https://github.com/lichengunc/refer",
    "coco",
    _COCO_IMAGES,
    _REFER_TERMS,
    _FLICKR,
    "apache-2.0",
    (_REFERIT_PAPER, _CONTEXT_PAPER, _COCO_PAPER),
    _FAMILY_NOTE,
)

FACTS: dict[str, SourceFacts] = {
    facts.name: facts
    for facts in (
        SourceFacts(
            "coco",
            "COCO, Common Objects in Context",
            "https://cocodataset.org",
            "coco",
            "COCO photographs",
            "Annotations: CC BY 4.0.",
            _FLICKR,
            "cc-by-4.0",
            (_COCO_PAPER, _CAPTIONS_PAPER),
        ),
        _REFCOCO,
        replace(_REFCOCO, name="refcoco+", title="RefCOCO+ (no words of location)"),
        SourceFacts(
            "refcocog",
            "RefCOCOg (Google RefExp; UMD and Google splits)",
            "https://github.com/mjhucla/Google_Refexp_toolbox",
            "coco",
            _COCO_IMAGES,
            _REFER_TERMS + " Google's own release of the expressions is under CC BY 4.0.",
            _FLICKR,
            "cc-by-4.0",
            (_GOOGLE_PAPER, _UMD_PAPER, _COCO_PAPER),
            _FAMILY_NOTE
            + " The Google split of RefCOCOg itself shares images between train and val; the UMD split does not.",
        ),
        SourceFacts(
            "refclef",
            "RefCLEF (ReferItGame on SAIAPR TC-12)",
            "https://github.com/lichengunc/refer",
            "saiapr",
            "SAIAPR TC-12 photographs, a segmented form of IAPR TC-12",
            "The publishers' repository (lichengunc/refer) is under Apache-2.0; the expressions carry no separate terms.",
            "IAPR TC-12 is offered free of charge and without copyright restrictions (ImageCLEF).",
            "apache-2.0",
            (_REFERIT_PAPER, _SAIAPR_PAPER),
        ),
        SourceFacts(
            "official",
            "MMUD, the official release",
            "https://github.com/kiva12138/NeuralTuning",
            "mmud",
            "RefCOCO, RefCOCO+, RefCOCOg (COCO train2014) and RefCLEF (SAIAPR TC-12) photographs under new numbers",
            "The release names no licence.",
            _FLICKR + " The SAIAPR part: IAPR TC-12 is offered without copyright restrictions.",
            "other",
            (_MMUD_PAPER, _REFERIT_PAPER, _CONTEXT_PAPER, _GOOGLE_PAPER, _COCO_PAPER, _SAIAPR_PAPER),
            "Captions, questions and answers were drafted by a GPT-4-class model and filtered by hand. Images are renumbered, so "
            "that leakage into the RefCOCO family can be found only by comparing images (`mmud leakage --perceptual`).",
        ),
        SourceFacts(
            "scenes",
            "Scenes, a synthetic world of coloured shapes",
            "",
            "",
            "drawn by `mmud build scenes`",
            "MIT, as this package.",
            "MIT, as this package.",
            "mit",
            (),
        ),
    )
}
"""By the name that samples carry in ``source``."""


def facts_of(source: str) -> SourceFacts | None:
    """What is known of a source; None for one that is not public or not known here."""
    name = source.strip().lower()
    return FACTS.get({"mmud": "official", "refcocoplus": "refcoco+"}.get(name, name))
