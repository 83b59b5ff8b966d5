"""Structures in, numbers out: reading libraries, standardising, fingerprints, descriptors, similarity.

``library`` reads a vendor's file and keeps the feature folder; ``stream`` does both in one pass for libraries of
millions, through ``writer``; ``standardise`` says what one structure becomes, ``report`` what became of all of them.
``describe`` turns structures into what the models see, ``fingerprints`` gives other fingerprints by name, ``alerts``
flags. ``kernel`` compares packed rows, bits or counts. ``enumeration`` makes libraries to measure with. Nothing is
re-exported here, so that comparing fingerprints does not load rdkit.
"""
