"""Whole-image networks: a field in, a class, a response or an embedding out, without segmentation.

::

    fields = fields_of(readouts, channels)                          # fields.py: which images
    target = to_target(fields, read_labels(layout, "compound"), "compound")     # .. and what to say of them
    cache = fill_cache(folder, fields, binning=4)                   # cache.py: decoded once, memory-mapped afterwards
    shown = Shown(cache, fields, target, rows, Normalisation())     # normalisation.py: every plate on one scale
    trained = train(shown, architecture, Recipe(), checkpoints=folder)  # training.py: goes on where it stopped
    save_network(trained.network, folder)                           # network.py: card.json and weights.safetensors
    tables = embed(readout, load_network(folder))                   # embedding.py: Embedding_000 .. per field and well

Nothing of nextplate imports this package unless a network is asked for, because torch takes seconds to load; import its
modules by name. architecture, fields, cache, normalisation, augmentation and recipe do without torch.
"""
