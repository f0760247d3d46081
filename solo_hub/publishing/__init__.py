"""Publishing: run folder -> repos on the Hub, filled and checked on disk before anything is pushed.

naming         names of the repos
licences       what the sources' licences allow, and the resulting licence
documents      everything a card may use, in one frozen value
dataset        fills the folder of pseudo-labels
adapter        fills the folder of the adapter
cards          renders their cards; `markdown` escapes, `frontmatter` writes the YAML, `facts` words the report
leaks          looks for secrets in every file that would be pushed
publication    fills, checks and pushes both
"""
