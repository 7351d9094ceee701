"""A server under load: what it carries, how long its callers wait, and what it keeps of them.

`calls` sends calls over grpc.aio and puts down how each ended, `draws` says what is asked and when,
`findings` how figures and their bars are shown. Each part of the measurement is a module of its
own (`throughput`, `zipf`, `curve`, `soak`), and `run` calls the one that is wanted.
"""
