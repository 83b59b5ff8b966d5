"""Whole-image networks: fields of a plate in, measurements out, without segmentation.

The order of things: `cache` decodes a plate once into one memory-mapped array, `scaling` learns each plate's grey
levels, `loader` draws augmented batches ahead of the network, `training` fits the multi-scale network of `mcnn`,
`folder` keeps it, `embedding` turns fields into measurements.

Why torch is nowhere imported by name here: the rest of nextplate works without the extra `deep`, and starts faster.
"""
