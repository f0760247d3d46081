"""An invented world: facts and questions that no model has seen, generated from a seed.

`build_world` makes it in memory, `write_world` writes it as two dataset repos in the Hub's layout. Whatever a student
answers better than chance here is knowledge that came from the corpus.
"""
