"""A task, a selector, a metric and a report section in a package of their own, found by name in a configuration."""

from __future__ import annotations

from solo_hub.core.errors import ConfigError
from solo_hub.core.records import Gold, Question, Selection, Verdict


class Riddles:
    """Fits `solo_hub.core.plugins.Task`: rows with a question and options, asked as a riddle."""

    question_columns = ("id", "question", "options")
    gold_columns = ("answer",)

    def __init__(self, columns):
        if columns:
            raise ConfigError("task.columns: riddles have fixed columns.", hint="Leave it empty.")

    def question(self, row, number):
        return Question(str(row.get("id") or number), f"A riddle: {row['question']}", tuple(row["options"]))

    def gold(self, row, question):
        return Gold(question.id, row["answer"], question.options[row["answer"]])


class FewOptions:
    """Fits `solo_hub.core.plugins.Selector`: keeps questions with at most `most` options."""

    def __init__(self, options, seed):
        self.most = int(options.get("most", 2))

    def select(self, labels):
        counts = [(label, len(label.probabilities or ())) for label in labels]
        return Selection(
            "few_options",
            tuple(
                Verdict(label.question_id, count <= self.most, f"{count} options", label.confidence)
                for label, count in counts
            ),
        )


class Shouts:
    """Fits `solo_hub.core.plugins.Metric`: the share of capital letters in what was written."""

    label = "Share of capitals"

    def score(self, question, gold, prediction):
        letters = [letter for letter in prediction.text if letter.isalpha()]
        return sum(letter.isupper() for letter in letters) / len(letters) if letters else 0.0


class Certain:
    """Fits `solo_hub.core.plugins.ReportSection`: how many answers each arm was certain of."""

    title = "Certain <answers>"

    def table(self, report, questions, golds, predictions):
        def sure(rows):
            return sum(max(row.probabilities or (0,)) > 0.9 for row in rows)

        return ["Arm", "certain", "of"], [[arm, sure(rows), len(rows)] for arm, rows in predictions.items()]
