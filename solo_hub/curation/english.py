"""English words for the rules: closed classes, common verbs and how their forms are made.

The lists are short on purpose. What they lack (rare verbs, words that are verb and noun) is learnt from the corpus by
`frequencies`: a word after *can* is a verb, a word after *the* is not.
"""

from __future__ import annotations

from functools import cache

BE = frozenset({"is", "are", "was", "were"})
MODALS = frozenset({"can", "may", "might", "must", "will", "would", "could", "should", "cannot"})
HAVE = frozenset({"has", "have", "had"})
DO = frozenset({"do", "does", "did"})
AUXILIARIES = BE | MODALS | HAVE | DO
DETERMINERS = frozenset(
    """a an the this that these those its their his her each every some any no all most many""".split()  # noqa: SIM905
)
ARTICLES = frozenset({"a", "an", "the"})
PREPOSITIONS = frozenset(
    """of in on at by for from into onto with without within during between among through across under over above below
    near against around along toward towards about after before until since via inside outside behind beyond beneath
    upon off like as per throughout despite than""".split()  # noqa: SIM905 - shorter to read
)
RELATIVE = frozenset({"that", "which", "who", "whom", "whose", "where"})
SUBORDINATORS = frozenset(
    {"because", "if", "when", "while", "although", "though", "unless", "whereas", "whether", "once"}
)
CONJUNCTIONS = frozenset({"and", "or", "but", "so", "yet", "nor"})
SPEAKERS = frozenset(
    """i we you me us my our your yours ours myself yourself ourselves""".split()  # noqa: SIM905
)
PRONOUNS = SPEAKERS | frozenset(
    """it he she they him them this these those that such there here others another one ones what which who whom
    someone anyone everyone something anything everything nothing none both either neither each all some many most few
    several much more less its his her their itself themselves""".split()  # noqa: SIM905
)
ADVERBS = frozenset(
    """also usually often always never sometimes generally typically commonly mainly mostly primarily only just very
    still already now then thus therefore normally naturally frequently rarely currently easily simply directly actually
    really even almost nearly probably especially particularly highly more most less not well soon too quite all
    essentially basically both however either""".split()  # noqa: SIM905
)
DULL = frozenset(
    """thing things way ways kind kinds type types sort example examples part parts lot lots number amount
    people person something anything everything others other same such fact facts case cases one ones use used
    time times day days keys key problem problems reason reasons issue issues question questions information
    page site website link here there important good bad great able available possible true common different
    various several many similar certain necessary useful known involved ready likely due place area work end
    result set aspect item items point points today year years need needs people's bit variety range majority
    form forms everyone everybody person's""".split()  # noqa: SIM905
)
"""Answers that say nothing."""
CARRIERS = frozenset(
    """kind type form sort source part group number amount piece example cause result series branch process method
    product list set member layer rate level combination mixture system center loss lack means type variety stage state
    unit measure types kinds forms sources parts groups numbers members examples""".split()  # noqa: SIM905
)
"""Nouns that stand before *of* while the noun after it is what counts: *a kind of fog*."""
PERSONS = frozenset(
    """scientist scientists people person man men woman women child children doctor doctors farmer farmers astronomer
    astronomers biologist biologists chemist chemists physicist physicists geologist geologists teacher teachers student
    students engineer engineers human humans he she nurse nurses hunter hunters artist artists writer writers king queen
    president inventor inventors explorer explorers parents mother father director manager captain officer officers
    master keeper cook chef founder founders owner owners author authors editor chairman mayor minister secretary
    treasurer boss driver pilot baker brewer carpenter gardener librarian curator warden clerk officer guide""".split()  # noqa: SIM905
)
TITLES = frozenset({"captain", "doctor", "dr", "professor", "mr", "mrs", "ms", "sir", "lady", "king", "queen", "saint"})
TIMES = frozenset({"seconds", "minutes", "hours", "days", "weeks", "months", "years", "centuries"})
MONTHS = frozenset(
    """January February March April May June July August September October November December""".split()  # noqa: SIM905
)
NUMBER_WORDS = frozenset(
    """two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen twenty thirty forty fifty
    sixty seventy eighty ninety hundred thousand million billion""".split()  # noqa: SIM905
)

_REGULAR = """
absorb accept accompany accumulate act adapt add adjust affect afford agree aid aim allow alter answer appear
apply argue arrive ask attach attack attract avoid bake balance bark bear beat become begin believe belong bend
benefit bind bite blend blow boil bond bounce breach break breathe breed bring bubble build burn burst bury buy
calculate call camouflage capture care carry carve catch cause challenge change chew choose circulate clean
clear climb cling close coat collect color combine come command communicate compare compete complete compose
conclude conduct confuse connect conserve consider consist construct consume contain continue contract
contribute control convert cook cool cope cost count cover crack crash crawl create creep cross crush cultivate
cut damage decay decide decline decompose decorate decrease defend define deflect degrade deliver demand deny
depend depict deposit derive describe design destroy detect determine develop die differ dig digest direct
discover display dissipate dissolve distinguish disturb divide double drain draw drift drink drive drop drown
dry dwell earn eat educate eject elect eliminate embed emerge emit employ enable enclose encounter encourage end
engage enhance enjoy ensure entail enter equal erode establish estimate evade evaporate evolve examine exceed
exchange excrete exert exhale exhibit exist expand experience explain explode exploit export expose extend
extract face fade fail fall favor feature feed feel fertilise fertilize fight fill filter find fit float flow
fly focus fold follow forage force forget form freeze function gain gather generate germinate get give gnaw go
govern grab grind grow guard guide handle hang happen harm hatch have heal hear heat help hibernate hide hire
hold hop house hover howl hunt hurt identify imagine impact imply import impress improve include increase
incubate indicate infect influence inform inhabit inhale inherit inhibit inject injure insert inspect install
insulate intend interact introduce invade invent invest investigate involve irrigate isolate issue join judge
jump keep kick kill knock know lack last laugh launch lay lead leak leap learn leave lend let lie lift limit
link listen live locate look lose lower maintain make manage manufacture mark marry match mate matter mean
measure melt mention metabolize migrate mimic mine miss mix moisten monitor motivate move multiply name navigate
need nest notice nourish number observe obtain occupy occur offer open operate orbit organize orient originate
outnumber own oxidize paint parasitize park pass pay peel perceive perform persist photosynthesize pierce plan
plant play plow plug pollinate pollute pose possess post pour pray precede precipitate predict prefer prepare
present preserve press prevent prey print process produce promote propel propose prosper protect prove provide
pull pump punch punish purify push put qualify race radiate rain raise range reach react read receive record
recycle reduce refer reflect refract regenerate regulate relate release rely remain remove repel replace
represent reproduce require resemble reside resist respond rest restore restrict result retain retreat return
reveal ride ring rinse ripen rise roar roll roost rotate rub ruin run rust sail sample satisfy save scatter
scavenge scratch screen seal search secrete see seek seem select sell send sense separate serve set shape share
shed shine show shrink signal signify sing sink sit sleep slide slow smell smoke sneeze snow solidify solve sort
sound speak speed spend spin split spot spray spread sprout squeeze stabilize stain stalk stand stare start stay
steal stem stick stimulate stir stop store strengthen stretch strike struggle study submerge succeed suck suffer
suggest suit supply support surf surround survey survive suspect sustain sweat swell swim switch symbolize
synthesize take talk target taste teach tear tell tend terminate test testify thicken threaten thrive throw tie
tighten tilt tolerate touch tow trace train transcribe transfer transform translate transmit transport trap
travel treat trick trigger trim turn twist undergo understand unite unlock urge use utilise utilize vanish
vaporize vary venture vibrate view visit vote wait walk wander want warm warn wash waste watch wave weaken wear
weigh whip win wind wish withstand wonder work worry wrap write yell yield zoom
"""
VERBS = frozenset(_REGULAR.split())
"""Base forms; what else is a verb is learnt from the corpus."""

_IRREGULAR = """
become became become|begin began begun|bear bore born|bend bent bent|bind bound bound|bite bit bitten|
blow blew blown|break broke broken|breed bred bred|bring brought brought|build built built|buy bought bought|
catch caught caught|come came come|cost cost cost|creep crept crept|dig dug dug|draw drew drawn|
drink drank drunk|drive drove driven|eat ate eaten|fall fell fallen|feed fed fed|feel felt felt|
fight fought fought|find found found|fly flew flown|freeze froze frozen|get got gotten|give gave given|
go went gone|grind ground ground|grow grew grown|have had had|hide hid hidden|hold held held|hurt hurt hurt|
keep kept kept|know knew known|lay laid laid|lead led led|leave left left|let let let|lie lay lain|
lose lost lost|make made made|mean meant meant|put put put|read read read|rise rose risen|run ran run|
see saw seen|seek sought sought|sell sold sold|send sent sent|set set set|shed shed shed|shine shone shone|
show showed shown|shrink shrank shrunk|sink sank sunk|sleep slept slept|speak spoke spoken|spend spent spent|
spin spun spun|split split split|spread spread spread|stand stood stood|steal stole stolen|stick stuck stuck|
swell swelled swollen|swim swam swum|take took taken|teach taught taught|tell told told|think thought thought|
understand understood understood|wear wore worn|write wrote written
"""
PAST: dict[str, str] = {}
PARTICIPLES: dict[str, str] = {}
for _row in _IRREGULAR.replace("\n", "").split("|"):
    _base, _past, _participle = _row.split()
    PAST[_past] = _base
    PARTICIPLES[_participle] = _base

_SIBILANTS = ("s", "x", "z", "ch", "sh", "o")


@cache
def third_person(base: str) -> str:
    """The form of *it*: `eat` -> `eats`.

    >>> [third_person(verb) for verb in ("eat", "carry", "push", "have", "go", "play")]
    ['eats', 'carries', 'pushes', 'has', 'goes', 'plays']
    """
    if base == "have":
        return "has"
    if base.endswith("y") and base[-2:-1] not in "aeiou":
        return base[:-1] + "ies"
    return base + ("es" if base.endswith(_SIBILANTS) else "s")


def base_of_third(form: str) -> tuple[str, ...]:
    """Base forms that a form in -s may be of: `carries` -> `carry`, `carrie`; none where it does not end so."""
    if form == "has":
        return ("have",)
    if not form.endswith("s") or form.endswith("ss") or len(form) < 4:  # noqa: PLR2004 - `is`, `gas`
        return ()
    if form.endswith("ies"):
        return (form[:-3] + "y", form[:-1])
    if form.endswith("es"):
        return (form[:-1], form[:-2])
    return (form[:-1],)


def base_of_past(form: str) -> tuple[str, ...]:
    """Base forms that a past form or participle may be of: `stopped` -> `stopp`, `stop`, `stoppe`."""
    found = [table[form] for table in (PAST, PARTICIPLES) if form in table]
    if form.endswith("ied"):
        found.append(form[:-3] + "y")
    elif form.endswith("ed") and len(form) > 3:  # noqa: PLR2004 - `red`
        found += [form[:-2], form[:-1]]
        if form[-3] == form[-4]:
            found.append(form[:-3])
    return tuple(found)


def base_of_gerund(form: str) -> tuple[str, ...]:
    """Base forms that a form in -ing may be of: `making` -> `mak`, `make`."""
    if not form.endswith("ing") or len(form) < 5:  # noqa: PLR2004 - `king`
        return ()
    stem = form[:-3]
    return (stem, stem + "e", stem[:-1]) if stem[-1] == stem[-2:-1] else (stem, stem + "e")


def is_plural(words: tuple[str, ...]) -> bool:
    """Whether a noun phrase asks for a verb of the plural: its head ends in -s, or several are joined by *and*.

    >>> is_plural(("the", "gas")), is_plural(("cows",)), is_plural(("salt", "and", "water"))
    (False, True, True)
    """
    lowered = [word.lower() for word in words]
    if "and" in lowered:
        return True
    if lowered[0] in {"a", "an", "each", "every", "this", "that"}:
        return False
    for place, word in enumerate(lowered):  # the head stands before the first preposition
        if place and word in PREPOSITIONS:
            lowered = lowered[:place]
            break
    head = lowered[-1]
    if head in {
        "people",
        "men",
        "women",
        "children",
        "mice",
        "feet",
        "teeth",
        "bacteria",
        "fungi",
        "larvae",
        "species",
    }:
        return True
    if head in _SINGULAR_IN_S:
        return False
    return head.endswith("s") and not head.endswith(("ss", "us", "is", "ics"))


EITHER_NUMBER = frozenset(
    {"fish", "sheep", "deer", "data", "species", "series", "salmon", "trout", "squid", "shrimp", "cattle", "media"}
)
"""Nouns whose singular and plural look alike, or that are used as both."""
_SINGULAR_IN_S = frozenset({"gas", "lens", "news", "atlas", "canvas", "mars", "diabetes", "series", "rabies", "always"})
