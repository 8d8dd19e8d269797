"""A worker of films (`--kind i2v`) or of edits (`--kind edit`) that draws instead of diffusing.

It speaks the protocol of DiffSynth workers, over HTTP only. Films are real mp4 files that begin with the picture they
were given, edits real PNG files; a person reads on them what they were made with. One comes in at `start`. Limits are
written down here once more, as everything is that the product has, too: a witness shares nothing with whom it
testifies about.
"""
