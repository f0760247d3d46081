"""The metric `bert_score`."""
