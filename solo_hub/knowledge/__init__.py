"""Knowledge: builds an index from a corpus and retrieves passages for questions.

    corpus      rows and files            -> [Document]
    embedding   texts                     -> unit vectors          (in process, or a TEI server: `tei`)
    index       documents and vectors     -> a folder on disk, memory-mapped, resumable
    retrieval   questions and an index    -> [Retrieval]           one file a method

Nothing here reads answers or gold facts: a `Question` has neither.
"""
