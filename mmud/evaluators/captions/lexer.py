"""The rules of Penn Treebank tokenisation as the Stanford tokenizer 3.4.1 applies them, and the scanner that runs them.

At each position every rule is tried; the one whose match is longest wins, its right context counted in, and the earlier
rule wins a tie. That is how lexer generators work, and it is why the rules cannot be one alternation: Python's takes the
first that fits. A rule is a regular expression whose first group is the token; what it matches beyond the group is the
right context.

Written from the behaviour of the tool, class by class, and held to it by tests; the word lists are its word lists.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mmud.evaluators.captions.characters import ASCII, CharacterClasses, unicode_classes

_SPACE = r"[ \t\xa0\u2000-\u200a\u3000]"
_SPACE_OR_LINE = r"[ \t\xa0\u2000-\u200a\u3000\r\n\x0b\x0c\x85\u2028\u2029]"
_APOSTROPHE = r"(?:['\x92\u2019]|(?i:&apos;))"
_APOSTROPHE_LIKE = r"(?:['\x92\u2019`\x91\u2018\u201b]|(?i:&apos;))"
_HYPHEN = r"[-_\u058a\u2010\u2011]"
_COMMA_LIKE = r"[,;:\u3001]"
_CONTRACTION = rf"{_APOSTROPHE}(?:[msdMSD]|(?i:re|ve|ll))"
_NOT = rf"[nN]{_APOSTROPHE_LIKE}[tT]"
_AMPERSAND = r"(?i:&amp;)"

# Words whose full stop belongs to them, in any case; letters in brackets are in lower case only.
_MONTHS_AND_DAYS = "jan feb mar apr jun jul aug sept sep oct nov dec mon tues tue wed thurs thu fri"
_STATES = "ala ariz calif colo conn ct dak fla ga ind kans kan ky md mich minn mo mont neb nev okla penn tenn va vt wisc wis wyo"
# With a capital only: "Miss." is a state, "miss." is not.
_STATES_WITH_CAPITAL = "az ark del ill la mass miss ore pa tex wash"
_COMPANIES = "inc cos co corp pp?t[ye]s? ltd plc rt bancorp bhd assn univ intl sys"
_OTHERS_BEFORE_LOWER = r"tel est ext sq jr sr bros ed\.d ph\.d blvd rd esq etc al seq bldg"
_TITLES = (
    "mrs mr ms drs dr profs prof sens sen reps rep attys atty lt col gen messrs govs gov adm rev maj sgt cpl pvt capt ste st"
    " ave pres lieut hon brig comdr cmdr pfc spc supts supt det mt ft adj adv asst assoc ens insp mlle mme msgr sfc"
)
_OTHERS_BEFORE_CAPITAL = r"vs alex wm jos cie a\.k\.a cf treas ph invt elec natl m[ft]g dept"
_BEFORE_NUMBER = "ca figs fig prop nos no art bldg pp op"
# After an initial ("vitamin B. The ..."), these words start a sentence, so the full stop is not the initial's.
_SENTENCE_STARTS = (
    r"about according additionally after an a as at but earlier he here her however if in it last many more mr\. ms\. now"
    " once one other our she since some such so that their there these the they this when while what we yet you"
)
_FILE_ENDINGS = (
    "bat bmp c class cgi cpp dll doc docx exe gif gz h htm html jar java jpeg jpg mov mp3 pdf php pl png ppt ps py sql tar"
    " txt wav x xml zip"
)
_ENTITIES = "HT|TL|UR|LR|QC|QL|QR|odq|cdq|#[0-9]+"
_JOINED_US = r"(?i:(?:canada|sino|korean|eu|japan|non)-u\.s)|(?i:u\.s\.-(?:u\.k|u\.s\.s\.r))"


def _any_of(words: str, capital: bool = False) -> str:
    """An alternation in any case, a longer word before its beginning; with ``capital``, the first letter is one."""
    alternatives = []
    for word in sorted(words.split(), key=len, reverse=True):
        word = re.sub(r"\[\w+\]", r"(?-i:\g<0>)", word)
        alternatives.append(f"(?-i:{word[0].upper()}){word[1:]}" if capital else word)
    return f"(?i:{'|'.join(alternatives)})"


_ASSIMILATED = "cannot gonna gotta lemme gimme wanna"
_KEEPING_THEIR_STOP = " ".join(
    (
        _MONTHS_AND_DAYS,
        _STATES,
        _STATES_WITH_CAPITAL,
        _COMPANIES,
        _OTHERS_BEFORE_LOWER,
        _TITLES,
        _OTHERS_BEFORE_CAPITAL,
        _BEFORE_NUMBER,
    )
)
# Most of what stands between two spaces: letters, perhaps one sign of punctuation after them, and no rule but one applies.
_PLAIN_WORD = re.compile(
    rf"(?!{_any_of(_ASSIMILATED)}(?![A-Za-z]))(?!{_any_of(_KEEPING_THEIR_STOP)}\.)([A-Za-z]{{2,}})[.,;:!?]?\Z"
)


def plain_word(chunk: str) -> str | None:
    """The word that a chunk between spaces consists of; None where that takes the scanner to tell."""
    match = _PLAIN_WORD.match(chunk)
    return None if match is None else match[1]


def _tag() -> str:
    """A mark-up tag, spaces and quoted attributes included."""
    name = r"[A-Za-z][A-Za-z0-9_:.\-]*"
    attribute = rf"{name}(?:[ ]*=[ ]*(?:'[^']*'|\"[^\"]*\"))?"
    return rf"<(?:[!?][A-Za-z\-][^>\r\n]*+|{name}(?:[ ]+{attribute})*[ ]*/?|/{name})[ ]*>"


# What becomes of a token's text. ``None`` as a rule's treatment means: kept as it is.
Treatment = Callable[[str], str | None]


def _dropped(text: str) -> None:
    return None


def _constant(value: str) -> Treatment:
    return lambda text: value


def _without_soft_hyphens(text: str) -> str:
    return text.replace("\xad", "") or "-"


def _spaces_kept(text: str) -> str:
    """Spaces inside a token become no-break spaces, so that the token stays in one piece."""
    return text.replace(" ", "\xa0")


def _brackets_spelt(text: str) -> str:
    return _spaces_kept(text).replace("(", "-LRB-").replace(")", "-RRB-")


def _ampersand(text: str) -> str:
    return re.sub(_AMPERSAND, "&", text)


_QUOTES = {
    **dict.fromkeys("\x91\u2018\u201b\u2039", "`"),
    **dict.fromkeys("\x92\u2019\u203a", "'"),
    **dict.fromkeys("\x93\u201c\xab", "``"),
    **dict.fromkeys("\x94\u201d\xbb", "''"),
}
_QUOTE_TABLE = str.maketrans(_QUOTES)
_CURRENCY_TABLE = str.maketrans({"\xa2": "cents", "\xa3": "#", **dict.fromkeys("\x80\xa4\u20a0\u20ac", "$")})
_FRACTIONS = {"\xbc": "1/4", "\xbd": "1/2", "\xbe": "3/4", "\u2153": "1/3", "\u2154": "2/3"}


def _quotes(text: str) -> str:
    return text.replace("&apos;", "'").translate(_QUOTE_TABLE)


def _double_quote(text: str) -> str:
    return "''" if text in ('"', "&quot;") else text


def _dashes(text: str) -> str:
    return "--" if len(text) in (3, 4) else text


@dataclass(frozen=True)
class Rule:
    """One way to make a token.

    Attributes:
        first: Characters that the match may begin with, as the inside of brackets.
        pattern: Group 1 is the token; the whole match is what counts as its length.
        treatment: What becomes of the token's text.
        give_back: How many characters at the token's end are scanned again ("cannot" is "can", then "not").
    """

    first: re.Pattern[str]
    pattern: re.Pattern[str]
    treatment: Treatment | None = None
    give_back: int = 0


def _rule(first: str, pattern: str, treatment: Treatment | None = None, give_back: int = 0) -> Rule:
    # Any case will do here, the pattern decides: where it ignores case, it also takes the long s and the dotless i.
    case = re.NOFLAG if first.startswith("^") else re.IGNORECASE
    return Rule(re.compile(f"[{first}]", case), re.compile(pattern), treatment, give_back)


def _word_rules(k: CharacterClasses) -> Iterator[Rule]:
    """Assimilations, mark-up, entities, plain words and contractions."""
    accented = r"&[aeiouAEIOU](?i:acute|grave|uml);"
    letter = f"(?:[{k.word}]|{accented})"
    word_part = f"{letter}(?:[{k.word}{k.digit}]|{accented})*"
    word = rf"{word_part}(?:[.!?]{word_part})*"
    start = k.word + "&"
    yield _rule("cC", r"((?i:c)\+\+)")
    yield _rule("cCfF", "((?i:c|f)#)")
    yield _rule("cC", "((?i:cannot))", give_back=3)
    yield _rule("'", "((?i:'twas))", give_back=3)
    yield _rule("'", "((?i:'tis))", give_back=2)
    yield _rule("gGlLwW", f"({_any_of('gonna gotta lemme gimme wanna')})", give_back=2)
    yield _rule("<", f"({_tag()})", _spaces_kept)
    yield _rule(r"&\x96\x97\u2013-\u2015", r"((?i:&(?:md|mdash|ndash);)|[\x96\x97\u2013-\u2015])", _constant("--"))
    yield _rule("&", f"({_AMPERSAND})", _ampersand)
    yield _rule("&", f"(&(?i:{_ENTITIES});)")
    yield _rule(start, f"({word}){_CONTRACTION}", _without_soft_hyphens)
    yield _rule(r"A-Za-z\xad", rf"([A-Za-z\xad]*[A-MO-Za-mo-z]\xad*){_NOT}", _without_soft_hyphens)
    yield _rule(start, f"({word})", _without_soft_hyphens)
    yield from _apostrophe_words(k)


def _apostrophe_words(k: CharacterClasses) -> Iterator[Rule]:
    """Words that keep their apostrophe: o'clock, 'em, ol', l'eau, '90s."""
    mark, like, letter = _APOSTROPHE, _APOSTROPHE_LIKE, f"[{k.letter}]"
    quote = r"'\x92\u2019&"
    yield _rule(quote, f"({mark}[nN](?:{mark})?)")
    yield _rule("lLdDjJ", f"([lLdDjJ]{mark})")
    yield _rule("dDsSoO", f"((?i:dunkin|somethin|ol){mark})")
    yield _rule(quote, f"({mark}(?:(?i:em|till?|cause)|[2-9]0(?i:s)))")
    yield _rule("A-HJ-XZn", f"([A-HJ-XZn]{like}{letter}{letter}{letter}*)")
    yield _rule(k.letter, f"({letter}{letter}*[aeiouyAEIOUY]{like}[aeiouA-Z]{letter}*)")
    yield _rule("'", "((?i:'twas))")
    yield _rule("cCnNeEsSlL", r"((?i:cont'd\.?|nor'easter|c'mon|e'er|s'mores|ev'ry|li'l|nat'l))")
    yield _rule("oO", f"([oO]{like}[oO])")
    yield _rule("yY", f"([yY]{mark}){letter}")


def _address_rules(k: CharacterClasses) -> Iterator[Rule]:
    """Addresses of pages and mailboxes, names and tags of social networks."""
    path = r"/[^ \t\n\f\r\"<>|()]+[^ \t\n\f\r\"<>|.!?(){},\-]"
    host = r"(?i:www)\.(?:[^ \t\n\f\r\"<>|.!?(){},]+\.)+[a-zA-Z]{2,4}"
    # A bare host name has no capitals and no digits: the tool's class has the range from comma to underscore.
    bare_host = r"(?:[^ \t\n\f\r\"`'<>|.!?(){},-_$]+\.)+(?i:com|net|org|edu)"
    yield _rule("hH", r"((?i:https?)://[^ \t\n\f\r\"<>|(){}]+[^ \t\n\f\r\"<>|.!?(){},\-])")
    for address in (host + path, host):
        yield _rule("wW", f"({address})")
    for address in (bare_host + path, bare_host):
        yield _rule(r"^ \t\n\f\r\"`'<>|.!?(){},-_$", f"({address})")
    part = r"[^ \t\n\f\r\"<>|(){}.\xa0]+"
    # The tool has no bound here. No address is that long (RFC 5321), and without it a long text takes quadratic time.
    local = r"[a-zA-Z0-9][^ \t\n\f\r\"<>|()\xa0{}]{0,255}"
    yield _rule("&<a-zA-Z0-9", rf"((?:(?i:&lt;)|<)?{local}@(?:{part}\.)*{part}(?:(?i:&gt;)|>)?)")
    yield _rule("@", "(@[a-zA-Z_][a-zA-Z_0-9]*)")
    yield _rule("#", f"(#(?:[{k.word}]|&[aeiouAEIOU](?i:acute|grave|uml);)+)")


def _number_rules(k: CharacterClasses) -> Iterator[Rule]:
    """Contractions standing alone, then dates, numbers, fractions, money."""
    quote = r"'\x92\u2019&"
    yield _rule(quote, f"({_CONTRACTION})[^A-Za-z]", _quotes)
    yield _rule("nN", f"({_NOT})[^A-Za-z]", _quotes)
    d = f"[{k.digit}]"
    yield _rule(k.digit, rf"({d}{{1,2}}[-/]{d}{{1,2}}[-/]{d}{{2,4}})")
    separator = r"[.:,\xad\u066b\u066c]"
    number = rf"[-+]?(?:{d}*(?:{separator}{d}+)+|{d}+)"
    yield _rule(rf"-+.:,\xad\u066b\u066c{k.digit}", f"({number})", _without_soft_hyphens)
    raised, lowered = r"[\u2070\xb9\xb2\xb3\u2074-\u2079]+", r"[\u2080-\u2089]+"
    sign = r"[\u207a\u207b\u208a\u208b]?"
    yield _rule(r"\u2070-\u208b\xb9\xb2\xb3", f"({sign}(?:{raised}|{lowered}))")
    yield _rule(k.digit, rf"((?:{d}{{1,4}}[- \xa0])?{d}{{1,4}}(?:\\?/|\u2044){d}{{1,4}})", _spaces_kept)
    yield _rule("\xbc-\xbe\u2153-\u215e", "([\xbc-\xbe\u2153-\u215e])", lambda text: _FRACTIONS.get(text, text))
    special = (
        rf"-(?i:rrb|lrb|rcb|lcb|rsb|lsb)-|(?i:c\.d\.s|pro-|anti-|s(?:&|&amp;)p-500|s(?:&|&amp;)ls|cap{_APOSTROPHE}n)"
    )
    yield _rule("-cCpPaAsS", f"({special}|(?i:c{_APOSTROPHE}est))", _ampersand)
    alternative = "[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}"
    yield _rule("A-Za-z0-9", rf"({alternative}(?:\\?/{alternative}){{1,2}})")
    yield _rule("A-Z$#", r"([A-Z]*\$|#)")
    money = r"\xa2-\xa5\x80\u20a0\u20ac\u060b\u0e3f\u20a4\uffe0\uffe1\uffe5\uffe6"
    yield _rule(money, f"([{money}])", lambda text: text.translate(_CURRENCY_TABLE))


def _abbreviation_rules(k: CharacterClasses) -> Iterator[Rule]:
    """Initials, abbreviations with their full stop, file names, a word before a comma."""
    initials = rf"{_JOINED_US}|[A-Za-z](?:\.[A-Za-z])*"
    sentence = rf"{_SPACE_OR_LINE}+(?:{_any_of(_SENTENCE_STARTS, capital=True)}|{_tag()}){_SPACE_OR_LINE}"
    # "B. The": the full stop ends the sentence. "U.S. The": it does both, and the second one is punctuation, so dropped.
    yield _rule("A-Za-z", rf"([A-Za-z])\.{sentence}")
    yield _rule("A-Za-z", rf"((?:{_JOINED_US}|[A-Za-z](?:\.[A-Za-z])+)\.){sentence}")
    yield _rule("cCfFpPnNaAbBoO", rf"({_any_of(_BEFORE_NUMBER)}\.){_SPACE_OR_LINE}?[{k.digit}]")
    yield _rule("pPcC", rf"((?:(?i:pt)[eyEY]|(?i:co))\.){_SPACE}(?i:ltd|lim)")
    before_lower = _any_of(f"{_MONTHS_AND_DAYS} {_STATES} {_OTHERS_BEFORE_LOWER} {_COMPANIES}")
    states = _any_of(_STATES_WITH_CAPITAL, capital=True)
    yield _rule("A-Za-z", rf"((?:{before_lower}|{states})\.)[\s\S]{{0,2}}")
    yield _rule("A-Za-z", rf"((?:{before_lower}|{states})\.){_SPACE_OR_LINE}{_tag()}")
    before_capital = rf"(?:{_any_of(_TITLES + ' ' + _OTHERS_BEFORE_CAPITAL)}|M(?i:iss)|{initials})"
    yield _rule("A-Za-z", rf"({before_capital}\.)")
    yield _rule("A-Za-z", f"({before_capital}){_SPACE_OR_LINE}")
    yield _rule(r"'\x92\u2019&", f"({_APOSTROPHE}[0-9][0-9]){_SPACE_OR_LINE}")
    accented = "&[aeiouAEIOU](?i:acute|grave|uml);"
    part = f"(?:[{k.word}{k.digit}]|{accented})+"
    file_name = rf"{part}(?:\.{part})*\.{_any_of(_FILE_ENDINGS)}"
    yield _rule(f"{k.word}{k.digit}&", f"({file_name})(?:{_SPACE_OR_LINE}|[.?!,])")
    word_part = f"(?:[{k.word}]|{accented})(?:[{k.word}{k.digit}]|{accented})*"
    yield _rule(k.word + "&", rf"({word_part}(?:[.!?]{word_part})*\.){_COMMA_LIKE}", _without_soft_hyphens)
    last = r"[0-9]{3,4}[- \xa0]?[0-9]{3,5}"
    yield _rule("(", rf"(\([0-9]{{2,3}}\)[ \xa0]?{last})", _brackets_spelt)
    prefix = r"(?:\+\+?)?"
    for area in (r"[0-9]{2,4}[- \xa0]", ""):
        yield _rule("+0-9", rf"({prefix}{area}[0-9]{{2,4}}[- \xa0]{last})", _brackets_spelt)
    yield _rule("+0-9", rf"((?:{prefix}[0-9]{{2,4}}\.)?[0-9]{{2,4}}\.[0-9]{{3,4}}\.[0-9]{{3,5}})")


def _symbol_rules(k: CharacterClasses) -> Iterator[Rule]:
    """Quotation marks, smileys, brackets, dashes, dots and signs."""
    yield _rule('"&', '("|(?i:&quot;))[A-Za-z0-9$]', _double_quote)
    yield _rule('"&', '("|(?i:&quot;))', _double_quote)
    yield _rule(r"\x7f", r"(\x7f)", _dropped)
    yield _rule("<&", "(<|(?i:&lt;))", _constant("<"))
    yield _rule(">&", "(>|(?i:&gt;))", _constant(">"))
    yield _rule("<>:;=", r"([<>]?[:;=][-o*']?[()DPdpO\\{@|\[\]])[^A-Za-z0-9]", _brackets_spelt)
    yield _rule(r"\^xX=~<>", r"([\^x=~<>]\.\[\^(?i:x)=~<>\])")
    yield _rule(r"-\^x=~<>'", r"([-\^x=~<>']_[-\^x=~<>'])")
    yield _rule("(", r"(\([-\^x=~<>'][_.]?[-\^x=~<>']\)|\([\^x=~<>']-[\^x=~<>'`]\))", _brackets_spelt)
    names = {"{": "-LCB-", "}": "-RCB-", "[": "-LSB-", "]": "-RSB-", "(": "-LRB-", ")": "-RRB-"}
    yield _rule(r"{}\[\]()", r"([{}\[\]()])", lambda text: names[text])
    yield _rule("-", "(-+)", _dashes)
    yield _rule(r".\x85\u2026", r"(\.{3,5}|(?:\.[ \xa0]){2,4}\.|[\x85\u2026])", _constant("..."))
    yield _rule("@#_", "(@+|#+|_+)")
    yield _rule(r"*\\", r"(\*+|(?:\\\*){1,3})")
    yield _rule("?!", "([?!]+)")
    yield _rule(r"=/.,;:\u3001", r"([=/.,;:\u3001])")


def _compound_rules(k: CharacterClasses) -> Iterator[Rule]:
    """Hyphenated and apostrophised compounds; then what is left over."""
    compound = r"[A-Za-z0-9][A-Za-z0-9.,\xad]*+(?:-(?:[A-Za-z](?:\.[A-Za-z])+\.|[A-Za-z0-9\xad]+))+"
    yield _rule("A-Za-z0-9", rf"({compound}\.){_COMMA_LIKE}", _without_soft_hyphens)
    yield _rule("A-Za-z0-9", f"({compound})", _without_soft_hyphens)
    one = f"[{k.letter}{k.digit}]"
    thing = f"(?:[dDoOlL]{_APOSTROPHE_LIKE}{one})?{one}+"
    thing = f"{thing}(?:{_HYPHEN}{thing})*"
    yield _rule(k.letter + k.digit, rf"({thing}\.){_COMMA_LIKE}")
    yield _rule(k.letter + k.digit, f"({thing})")
    firm = f"[A-Z]+(?:(?:[+&]|{_AMPERSAND})[A-Z]+)+"
    yield _rule("A-Z", rf"({firm}\.){_COMMA_LIKE}", _ampersand)
    yield _rule("A-Z", f"({firm})", _ampersand)
    yield _rule("'", r"(')[A-Za-z][^ \t\n\r\xa0]", _constant("`"))
    quote = r"'\x92\u2019&"
    yield _rule(quote, f"({_CONTRACTION})", _quotes)
    yield _rule("nN", f"({_NOT})", _quotes)
    curly = r"`\u2018-\u201b\u201c-\u201f\x91-\x94\u2039\u203a\xab\xbb"
    yield _rule(f"{curly}'&", f"(''|[{curly}]{{1,2}}|{_APOSTROPHE})", _quotes)
    yield _rule("<>", "(<<|>>)")
    yield _rule(k.symbol, f"([{k.symbol}])")
    yield _rule(
        rf"\0{_SPACE_OR_LINE[1:-1]}\u200b\u200e\u200f\ufeff",
        rf"(\0|{_SPACE_OR_LINE}+|[\u200b\u200e\u200f\ufeff])",
        _dropped,
    )
    yield _rule("&", "((?i:&nbsp;))", _dropped)


class Scanner:
    """The rules of one set of character classes, ready to run."""

    def __init__(self, classes: CharacterClasses) -> None:
        families = (_word_rules, _address_rules, _number_rules, _abbreviation_rules, _symbol_rules, _compound_rules)
        self._rules = [rule for family in families for rule in family(classes)]
        self._by_first: dict[str, list[Rule]] = {}

    def _candidates(self, first: str) -> list[Rule]:
        rules = [rule for rule in self._rules if rule.first.match(first)]
        self._by_first[first] = rules
        return rules

    def next_token(self, text: str, start: int) -> tuple[str | None, int]:
        """The token that starts at ``start`` (None where nothing is to be kept) and where the next one starts."""
        first = text[start]
        best: re.Match[str] | None = None
        best_rule: Rule | None = None
        best_end = start
        for rule in self._by_first.get(first) or self._candidates(first):
            match = rule.pattern.match(text, start)
            if match is not None and match.end() > best_end:
                best, best_rule, best_end = match, rule, match.end()
        if best is None or best_rule is None:
            return None, start + 1
        end = best.end(1) - best_rule.give_back
        token: str | None = text[start:end]
        if best_rule.treatment is not None:
            token = best_rule.treatment(text[start:end])
        return token, end


_scanners: dict[bool, Scanner] = {}


def scanner_for(text: str) -> Scanner:
    """The scanner for plain ASCII, or the one that knows all letters; each is built once, when first needed."""
    plain = text.isascii()
    if plain not in _scanners:
        _scanners[plain] = Scanner(ASCII if plain else unicode_classes())
    return _scanners[plain]
