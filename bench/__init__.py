"""The benchmark: our server beside the peers, in one interleaved run.  Started by `make bench`; see README.md."""
