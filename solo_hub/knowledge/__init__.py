"""Knowledge: a corpus becomes an index, an index gives each question its passages.

    corpus      rows and files            -> [Document]
    embedding   texts                     -> unit vectors          (in process, or a TEI server: `tei`)
    index       documents and vectors     -> a folder on disk, memory-mapped, resumable
    retrieval   questions and an index    -> [Retrieval]           one file a method

Nothing here reads an answer or a gold fact: a `Question` carries neither.
"""
