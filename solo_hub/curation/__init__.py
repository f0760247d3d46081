"""Curation: questions, with answers, from the documents of the knowledge base; no label, no user's question, no gold.

    frequencies   how often words stand in how many sentences, and whether they are used as nouns (bounded memory)
    english       English words: closed classes, verbs and their forms
    clauses       an English sentence to subject, verb, object
    scripts       which language or script a text is in; its question words
    spans         what is worth asking in a sentence of any language
    cloze         plugin: questions by rule from single sentences
    chains        plugin: questions that need two sentences
    prompted      plugin: a model writes questions from passages
    distractors   wrong options of the answer's kind
    filters       what is dropped, and why
    curating      all of it: documents in, kept and dropped questions out
    coverage      which documents somebody asks about, and how many questions each writer made
    splitting     questions held out for evaluation: unseen facts, and other forms of studied ones

Documents come in as a sequence that may be read more than once and need not fit into memory; questions come out as a
stream. The same documents, options and seed give the same questions, byte for byte.
"""
