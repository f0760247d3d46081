"""What a written answer names: the one table that every reader of answers must agree with."""

from __future__ import annotations

KINDS = ("sand", "stone", "Global warming", "rapid changes occur", "Oslo")
GENOTYPES = ("AA", "Aa", "aa")
BLOOD = ("A", "AB", "B", "O")

# answer, options, place of the option it names (None: none, or several)
CASES = [
    # a letter in its usual dresses
    *((answer, KINDS, 1) for answer in (
        "B", "b", " B ", "B.", "B)", "(B)", "(b)", "[B]", "b)", "b.", "B:", "B;", "(B).", "B!", "**B**", "*B*",
        "**B.**", "`B`", '"B"', "'B'", "“B”", "_B_", "<b>B</b>", "<answer>B</answer>", "$B$", r"\boxed{B}",
        r"$\boxed{\text{B}}$",
        "\uff22", "\uff08B\uff09", "Option B", "option (b)", "Choice B.", "Answer B", "B\nBecause stones are hard.",
        "\n\nB\n",
    )),
    # a letter and the option's text
    *((answer, KINDS, 1) for answer in (
        "B. stone", "b) stone", "(B) stone", "(b) Stone.", "B: stone", "B - stone", "B \u2013 stone", "B, stone",
        "B stone",
        "**B**. stone", "**B) stone**", "[B] stone", "option B: stone", "B. a stone",
    )),
    # the text, with marks and articles
    *((answer, KINDS, 1) for answer in (
        "stone", " stone ", "Stone", "STONE", "stone!", "stone.", '"stone"', "“stone”", "**stone**", "`stone`",
        "(stone)", "a stone", "A stone.", "The stone", "the  stone", "stone\nQuestion: and now?",
    )),
    ("global warming.", KINDS, 2),
    ("the Global Warming", KINDS, 2),
    ("Rapid changes\noccur", KINDS, 3),
    # a lead-in, and what may follow
    *((answer, KINDS, 1) for answer in (
        "The correct answer is B.", "The answer is B", "The answer is: B", "Answer: B", "answer = (b)", "Answer: **B**",
        "The correct option is (B).", "The answer is option B.", "The best answer is B) stone", "My answer is stone.",
        "The answer is a stone.", "The final answer is $\\boxed{B}$.", "Correct answer: B. stone",
        "The right choice: b", "The most likely answer is B.", "So, the answer is B.", "I think the answer is (b).",
        "It is B.", "It's stone.",
        "It\u2019s (B)", "I choose B", "I would pick B.", "I'd say stone", "I'd go with B", "B is correct.",
        "(B) is the right answer", "stone is the correct answer.", "The answer is:\nB", "Answer:\n\n(B) stone",
        "The answer is B because stones are hard.", "The answer is B, as stones are hard.",
        "The correct answer is B. Sandstone is another matter.",
        "Die Antwort ist B.", "Die richtige Antwort lautet: (B)", "Antwort: stone", "La réponse est B.", "Réponse : B",
        "La respuesta correcta es B.", "Respuesta: b", "La risposta è B", "A resposta correta é B.", "答案是B",
        "答案\uff1aB", "正确答案是 (B)。", "选B", "正解はB",
    )),
    # several, or none
    *((answer, KINDS, None) for answer in (
        "A or B", "A and C", "A, B", "B, C and D", "A/B", "AB", "A B", "(A) (B)", "(A)(B)", "A. sand or B. stone",
        "The answer is A or B.", "The answer is B, or C.", "The answer is A and B", "(A) Global warming", "A. stone",
        "B: sand", "sand and stone", "sand, stone", "The answer is", "The answer is:", "Answer:", "F", "(f)", "Z.", "h",
        "", " ", "\n", "...", "?", "no idea", "stones", "sandstone", "A clear sky is blue", "I am not sure", "1", "2)",
        "B12", "Both A and B are correct.", "None of them", "-", "choices", "B subtilis", "Bob", "a, because",
        "It is sand or stone", "B. Because stones are hard",
    )),
    # options that differ in case alone
    *((option, GENOTYPES, place) for place, option in enumerate(GENOTYPES)),
    ("Aa.", GENOTYPES, 1), ("(aa)", GENOTYPES, 2), ("**AA**", GENOTYPES, 0), ("The answer is Aa.", GENOTYPES, 1),
    ("aA", GENOTYPES, None), ("B", GENOTYPES, 1), ("a", GENOTYPES, 0), ("B) Aa", GENOTYPES, 1),
    ("A) Aa", GENOTYPES, None),
    ("CO", ("Co", "CO", "C2O"), 1), ("co", ("Co", "CO", "C2O"), None), ("Co!", ("Co", "CO", "C2O"), 0),
    ("sand", ("Sand", "SAND"), None), ("sand", ("Sand", "sand."), 1), ("The sand", ("a sand", "the sand"), 1),
    # options that read like letters, numbers, or a lead-in: their text comes first
    ("B", BLOOD, 2), ("A", BLOOD, 0), ("(ab)", BLOOD, 1), ("C", BLOOD, 2), ("b", ("sand", "stone", "b"), 2),
    ("the answer is sand", ("sand", "The answer is sand"), 1), ("4", ("3", "4", "5"), 1), ("4.", ("3", "4", "5"), 1),
    ("-5", ("5", "-5"), 1), ("5%", ("5", "5%"), 1), ("$5", ("5", "50"), 0), ("C++", ("C", "C++", "C#"), 1),
    ("?", ("!", "?"), 1), ("x²", ("x2", "x²"), 1), ("H2O", ("H₂O", "CO₂"), 0), ("cafe\u0301", ("caf\u00e9", "cafe"), 0),
    ("水。", ("火", "水"), 1), ("STRASSE", ("Gasse", "Straße"), 1), ("A)21", ("A)21", "B)22"), 0),
    ("22", ("A) 21", "B) 22"), 1), ("B", ("A) 21", "B) 22"), 1), ("yes", ("yes", "no"), 0),
    # nothing to choose from
    ("A", (), None),
]  # fmt: skip

# answer, options, place, where the prompt listed the options by letter
LISTED = [
    ("B", BLOOD, 1), ("B.", BLOOD, 1), ("(C)", BLOOD, 2), ("b", ("sand", "stone", "b"), 2), ("AB", BLOOD, 1),
    ("B. Because stones are hard.", KINDS, 1), ("B, because stones are hard", KINDS, 1), ("C. fog", KINDS, 2),
    ("B) not C", KINDS, None), ("A. sand or B. stone", KINDS, None), ("A clear sky is blue", KINDS, None),
    ("F", KINDS, None), ("stone", KINDS, 1), ("(A) Global warming", KINDS, None), ("A, B", KINDS, None),
]  # fmt: skip

# answer, options, the dataset's labels, place
NUMBERED = (("light", "water", "sound"), ("1", "2", "3"))
PERMUTED = (("wood", "iron", "glass"), ("C", "A", "B"))
LABELLED = [
    ("2", *NUMBERED, 1), ("(2)", *NUMBERED, 1), ("2. water", *NUMBERED, 1), ("The answer is 2.", *NUMBERED, 1),
    ("B", *NUMBERED, 1), ("2) light", *NUMBERED, None), ("4", *NUMBERED, None), ("1 or 2", *NUMBERED, None),
    ("A", *PERMUTED, 1), ("The answer is (a).", *PERMUTED, 1), ("iron", *PERMUTED, 1), ("D", *PERMUTED, None),
    ("A. iron", *PERMUTED, 1), ("B. iron", *PERMUTED, None), ("NG2", ("light", "water"), ("NG1", "NG2"), 1),
]  # fmt: skip
