"""Selection of pseudo-labels for training: LLKD and its baselines, one file per method.

Two kinds of selectors, both created as `Selector(options, seed)`:

- *static*, before training: `select(labels) -> Selection` (`all`, `random`, `confidence`, `entropy_score`, `cckd_l`);
- *per step*, inside training: `step(batch) -> StepDecision` (`llkd`, `llkd_w`, `freematch`, `softmatch`, `unixkd`,
  `cckd_t_reg`, `random_step`, `no_ds`). Their `select` drops only labels that the method can never evaluate.

All formulas with their sources are in `docs/selection.md`.
"""
