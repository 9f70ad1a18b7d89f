"""What objects are called: the everyday nouns of categories, with plurals.

The lists below are of this project: COCO's 80 categories, plain shapes, and words for whole families of things. A category that
is in none of them is known by its own name, its plural, and its last word.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from mmud.annotations.plurals import plural_of

Form = tuple[str, ...]
"""A noun as its words, without case."""

# One category a line. A slash separates nouns; "?" marks one that often means something else, which is too weak to claim that a
# thing is there; "=" marks one that is its own plural.
_LISTED = """
person: person / human / individual / man / guy / gentleman / dude / fellow / male? / woman / lady / gal / female? / boy / girl
 / child / kid / toddler / baby? / infant / teen / teenager / adult / player / baseball player / tennis player / soccer player
 / batter? / catcher? / umpire / pitcher? / referee / athlete / surfer / skier / snowboarder / skateboarder / skater / rider
 / cyclist / bicyclist / biker / motorcyclist / driver / passenger / pedestrian / worker / chef / cook? / baker / waiter
 / waitress / officer / police officer / policeman / policewoman / fireman / firefighter / cop / soldier / sailor / tourist
 / traveler / traveller / spectator / bride / groom / swimmer / runner / student / teacher / doctor / nurse / farmer / fisherman
 / vendor / cowboy / jockey / mother / father / mom / dad / parent / son / daughter / brother / sister / grandmother
 / grandfather / husband / wife / friend / businessman / businesswoman / bystander / onlooker / shopper / customer / someone?
bicycle: bicycle / bike / cycle?
car: car / automobile / sedan / hatchback / suv / taxi / taxi cab / cab? / convertible? / minivan / jeep / vehicle?
motorcycle: motorcycle / motorbike / motor bike / motor cycle / scooter? / moped / bike?
airplane: airplane / aeroplane / aircraft= / plane / jet / jetliner / jet plane / airliner / biplane / passenger jet
bus: bus / double decker / double decker bus / school bus / coach? / minibus
train: train / locomotive / railcar / subway train / tram? / streetcar? / train car / train engine / engine?
truck: truck / lorry / pickup / pickup truck / fire truck / tow truck / semi? / van? / trailer? / vehicle?
boat: boat / ship / sailboat / rowboat / canoe / kayak / yacht / ferry / vessel? / motorboat / speedboat / barge / raft? / gondola
traffic light: traffic light / traffic signal / stop light / stoplight / street light? / signal? / light?
fire hydrant: fire hydrant / hydrant / fire plug
stop sign: stop sign / sign?
parking meter: parking meter / meter?
bench: bench / park bench / pew?
bird: bird / seagull / gull / pigeon / duck / goose / parrot / swan / owl / eagle / hawk / pelican / crow / heron / flamingo
 / ostrich / chicken? / rooster / hen / sparrow / penguin / peacock / finch / turkey? / dove / duckling
cat: cat / kitten / kitty / feline / tabby / tabby cat
dog: dog / puppy / pup / canine / poodle / bulldog / terrier / labrador / hound / sheepdog / dachshund / corgi / retriever
horse: horse / pony / foal / colt / mare / stallion
sheep: sheep= / lamb / ram? / ewe
cow: cow / cattle= / bull / calf / ox / steer? / heifer
elephant: elephant
bear: bear? / polar bear / grizzly / black bear / brown bear / bear cub / cub? / grizzly bear / panda
zebra: zebra
giraffe: giraffe
backpack: backpack / rucksack / knapsack / back pack / bag? / pack?
umbrella: umbrella / parasol
handbag: handbag / purse / hand bag / bag? / tote? / satchel?
tie: tie? / necktie / bow tie / bowtie
suitcase: suitcase / luggage= / suit case / baggage= / bag? / briefcase? / trunk?
frisbee: frisbee / frisbe / disc? / disk?
skis: ski= / skis= / pair of skis
snowboard: snowboard / snow board / board?
sports ball: sports ball / ball? / baseball? / soccer ball / tennis ball / basketball? / football? / volleyball?
kite: kite
baseball bat: baseball bat / bat?
baseball glove: baseball glove / baseball mitt / catcher's mitt / mitt? / glove?
skateboard: skateboard / skate board / longboard / board?
surfboard: surfboard / surf board / boogie board / board?
tennis racket: tennis racket / tennis racquet / racket / racquet / racquette
bottle: bottle / wine bottle / beer bottle / water bottle
wine glass: wine glass / wineglass / goblet / champagne glass / glass of wine / glass?
cup: cup / mug / coffee cup / teacup / tea cup / coffee mug / paper cup / glass?
fork: fork
knife: knife / butter knife / blade?
spoon: spoon
bowl: bowl
banana: banana
apple: apple
sandwich: sandwich / burger? / hamburger? / sub? / panini / hoagie
orange: orange? / tangerine / mandarin / fruit?
broccoli: broccoli= / piece of broccoli
carrot: carrot
hot dog: hot dog / hotdog / frankfurter / corn dog / chili dog
pizza: pizza / pizza pie / slice of pizza
donut: donut / doughnut / pastry?
cake: cake / cupcake / birthday cake / wedding cake / cheesecake / layer cake
chair: chair / armchair / arm chair / recliner / stool? / seat? / lawn chair / rocking chair / highchair / high chair
couch: couch / sofa / loveseat / love seat / settee
potted plant: potted plant / plant? / houseplant / house plant / flower pot? / flowerpot?
bed: bed / bunk bed / mattress?
dining table: dining table / dinner table / kitchen table / table? / coffee table? / picnic table? / counter? / desk?
toilet: toilet / commode / urinal? / toilet bowl
tv: tv / television / television set / tv set / flat screen / flat screen tv / monitor? / screen?
laptop: laptop / laptop computer / notebook computer / computer?
mouse: mouse? / computer mouse
remote: remote? / remote control / controller? / wii remote / game controller?
keyboard: keyboard / computer keyboard
cell phone: cell phone / cellphone / mobile phone / smartphone / smart phone / phone? / iphone / flip phone
microwave: microwave / microwave oven
oven: oven / stove / stovetop?
toaster: toaster / toaster oven?
sink: sink? / wash basin / washbasin / basin? / bathroom sink / kitchen sink
refrigerator: refrigerator / fridge / freezer?
book: book / textbook / novel
clock: clock / clock face / alarm clock / wall clock
vase: vase / flower vase / urn?
scissors: scissors= / pair of scissors / shears=
teddy bear: teddy bear / teddy / stuffed bear / stuffed animal? / bear?
hair drier: hair drier / hair dryer / hairdryer / blow dryer
toothbrush: toothbrush / tooth brush
circle: circle / disc / disk / dot?
square: square?
triangle: triangle
star: star
heart: heart
ring: ring / hoop
cross: cross? / plus sign / plus?
hexagon: hexagon
crescent: crescent / crescent moon / half moon
diamond: diamond / rhombus / lozenge
arrow: arrow
drop: drop? / teardrop / tear drop / droplet
"""
_FAMILIES = {
    "animal": "bird cat dog horse sheep cow elephant bear zebra giraffe",
    "vehicle": "bicycle car motorcycle airplane bus train truck boat",
    "fruit": "banana apple orange",
    "pet": "cat dog",
}
_WIDE = "object thing item shape figure"
"""Nouns that may name anything."""

_GENDER = {
    "male": "man guy gentleman dude fellow male boy father dad son brother grandfather husband groom policeman fireman "
    "businessman cowboy fisherman waiter",
    "female": "woman lady gal female girl mother mom daughter sister grandmother wife bride policewoman businesswoman waitress",
}
_AGE = {
    "child": "boy girl child kid toddler baby infant",
    "adult": "man woman gentleman lady father mother dad mom grandfather grandmother husband wife adult policeman",
}


@dataclass(frozen=True, slots=True)
class Noun:
    """What a form means.

    Attributes:
        categories: the categories that it may name; empty for a word that may name anything.
        plural: whether it names several things; None where the form says neither.
        weak: it often means something else.
        features: what it says besides, such as ("gender", "male").
    """

    categories: frozenset[str]
    plural: bool | None = False
    weak: bool = False
    features: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True)
class Nouns:
    """The nouns that texts about some objects may use.

    Attributes:
        own: forms of the objects' own categories and phrases; they win.
        general: forms of everything that is listed.
    """

    own: Mapping[Form, Noun]
    general: Mapping[Form, Noun]

    @cached_property
    def _longest(self) -> dict[str, int]:
        """First word -> words of the longest form that begins with it: most words begin none."""
        found = dict(_longest_general())
        for form in self.own:
            found[form[0]] = max(found.get(form[0], 0), len(form))
        return found

    def get(self, form: Form) -> Noun | None:
        """What a form means."""
        return self.own.get(form) or self.general.get(form)

    def match(self, words: list[str], start: int) -> tuple[int, Noun] | None:
        """The longest form that begins at a word: how many words it has, and its meaning."""
        for length in range(min(self._longest.get(words[start], 0), len(words) - start), 0, -1):
            noun = self.get(tuple(words[start : start + length]))
            if noun is not None:
                return length, noun
        return None


def category_key(category: str) -> str:
    """A category's name without case, its words separated by single spaces."""
    return " ".join(category.replace("_", " ").replace("-", " ").casefold().split())


def _plural_form(form: Form) -> Form:
    # "slice of pizza" has its plural in front: "slices of pizza".
    if "of" in form[1:]:
        return (plural_of(form[0]), *form[1:])
    return (*form[:-1], plural_of(form[-1]))


def _parsed() -> Iterator[tuple[str, Form, bool, bool]]:
    """Category, form, whether it is its own plural, whether it is weak."""
    for line in _LISTED.strip().replace("\n ", " ").splitlines():
        category, _, nouns = line.partition(":")
        for text in nouns.split("/"):
            noun = text.strip()
            yield category, tuple(noun.rstrip("=?").split()), noun.endswith("="), noun.endswith("?")


def _features_of(form: Form) -> frozenset[tuple[str, str]]:
    last = form[-1]
    found = {("gender", name) for name, words in _GENDER.items() if last in words.split()}
    return frozenset(found | {("age", name) for name, words in _AGE.items() if last in words.split()})


class _Builder:
    def __init__(self) -> None:
        self.forms: dict[Form, Noun] = {}

    def add(self, form: Form, categories: Iterable[str], own_plural: bool = False, weak: bool = False) -> None:
        features = _features_of(form) if "person" in categories else frozenset()
        self.put(form, Noun(frozenset(categories), None if own_plural else False, weak, features))
        if not own_plural:
            self.put(_plural_form(form), Noun(frozenset(categories), True, weak, features))

    def put(self, form: Form, noun: Noun) -> None:
        known = self.forms.get(form)
        if known is not None:
            number = known.plural if known.plural == noun.plural else None
            weak = known.weak and noun.weak
            noun = Noun(known.categories | noun.categories, number, weak, known.features & noun.features)
        self.forms[form] = noun


@lru_cache(maxsize=1)
def _by_category() -> dict[str, dict[Form, Noun]]:
    """The listed forms of each listed category."""
    builders: dict[str, _Builder] = {}
    for category, form, own_plural, weak in _parsed():
        builders.setdefault(category, _Builder()).add(form, (category,), own_plural, weak)
    return {category: builder.forms for category, builder in builders.items()}


@lru_cache(maxsize=1)
def _general() -> dict[Form, Noun]:
    builder = _Builder()
    for forms in _by_category().values():
        for form, noun in forms.items():
            builder.put(form, noun)
    for name, members in _FAMILIES.items():
        builder.add((name,), members.split(), weak=True)
    for word in _WIDE.split():
        builder.forms[word,] = Noun(frozenset(), False, True)
        builder.forms[plural_of(word),] = Noun(frozenset(), True, True)
    return builder.forms


@lru_cache(maxsize=1)
def _longest_general() -> dict[str, int]:
    found: dict[str, int] = {}
    for form in _general():
        found[form[0]] = max(found.get(form[0], 0), len(form))
    return found


@lru_cache(maxsize=4096)
def nouns_of(categories: frozenset[str], extra: frozenset[str] = frozenset()) -> Nouns:
    """The nouns of these categories, of all listed ones, and further single nouns.

    Shapes and things share some words ("disc" is a circle and a frisbee): a form that one of ``categories`` has means that one.

    Args:
        categories: as `category_key` writes them.
        extra: nouns that name no category, as phrases use them; such a noun means ``=noun``.
    """
    builder = _Builder()
    for category in sorted(categories - {""}):
        listed = _by_category().get(category)
        if listed is not None:
            for form, noun in listed.items():
                builder.put(form, noun)
            continue
        whole = tuple(category.split())
        builder.add(whole, (category,))
        if len(whole) > 1 and whole[-1] not in categories:
            builder.add(whole[-1:], (category,), weak=True)
    general = _general()
    for word in sorted(extra):
        if (word,) not in builder.forms and (word,) not in general:
            builder.add((word,), (f"={word}",), weak=True)
    return Nouns(builder.forms, general)
