"""Evaluation: metrics, statistics, error analysis, and the report of a run.

    arms/                 the arms of a run: their weights, answers and costs
    metrics/              `evaluate` modules that live in the package and load offline
    statistics/           intervals, paired tests, power, calibration, pooling over seeds, two runs side by side
    report/               the report: figures, plots, page, terminal; `format` writes numbers and names
    comparison/           base, teacher and student side by side, as shown by `solo-hub compare` and the Space
    scoring               joins by id and scores every arm on every question
    error_causes          why each wrong answer is wrong, by rule
    label_quality         pseudo-labels against gold answers, for analysis only
    external_answers      scores answers of other systems, from a file
    harness               exports the task for lm-evaluation-harness
    tokenization          text to tokens in any script, symbols included

Arms are passed in as predictions: apart from `arms` and BERTScore's model, nothing here loads or runs a model.
"""
