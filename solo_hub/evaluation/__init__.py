"""Numbers one can trust, errors one can see, a report people want to look at.

    metrics/       `evaluate` modules that live in the package: they load with no network; `space` makes Spaces of them
    intervals      intervals, paired tests, gap closed, sample sizes, seeds pooled; `calibration` beside it
    tokenization   text to tokens in any script, signs too
    scoring        joins by id and scores every arm on every question
    report         questions, gold answers and every arm's predictions -> the report
    causes         why each wrong answer is wrong, by rule
    labels         pseudo-labels against gold, for analysis alone
    outside        answers of other systems, from a file
    harness        the task as lm-evaluation-harness knows it
    terminal       the report as a table
    html           the report as one self-contained page; `plots` draws for it

The arms are handed in as predictions: nothing here loads or asks a model, save BERTScore's.
"""
