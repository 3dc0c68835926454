"""An upgrade among real peers: a release, an overlap of two versions, a recall, and the verdict on all of them."""
