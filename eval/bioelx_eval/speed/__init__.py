"""How fast a release links, in process and over gRPC, beside what a user would do without BioELX.

`mentions` says what is linked, `systems` who links it, `measure` in which order and how the times
are summed up, `report` how they are shown, and `run` calls them. `naive` and `trigrams` are the
other ways, each a script that stands alone; `inside` is the linker in such a script.
"""
