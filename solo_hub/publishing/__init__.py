"""Publishing: run folder -> two repos on the Hub, filled and checked on disk before anything is pushed.

naming         names of the repos
licences       what the sources' licences allow, and which one the result carries
documents      everything a card may say, in one frozen value
dataset        fills the folder of pseudo-labels
adapter        fills the folder of the adapter
cards          renders their cards; `markdown` escapes, `frontmatter` writes the YAML, `facts` gathers what they say
leaks          looks for secrets in every file that would be pushed
publication    fills both, checks both, pushes both
verification   a stranger's check of a published folder
"""
