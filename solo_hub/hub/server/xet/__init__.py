"""The Xet leg: content-defined chunks packed in xorbs, files as lists of chunk ranges."""
