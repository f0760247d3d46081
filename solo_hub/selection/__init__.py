"""Which pseudo-labels the student learns from: LLKD and its baselines, one file a method.

Two kinds of selectors, both made as `Selector(options, seed)`:

- *static*, ahead of training: `select(labels) -> Selection` (`all`, `random`, `confidence`, `entropy_score`, `cckd_l`);
- *per step*, inside training: `step(batch) -> StepDecision` (`llkd`, `llkd_w`, `freematch`, `softmatch`, `unixkd`,
  `cckd_t_reg`, `random_step`, `no_ds`). Their `select` leaves out only what they could never judge.

All formulas with their sources are in `docs/selection.md`.
"""
