"""Structures in, numbers out: reading libraries, standardising, fingerprints, descriptors, similarity.

``library`` reads a vendor's file and keeps the feature folder, ``standardise`` says what one structure becomes,
``describe`` turns structures into numbers, ``similarity`` compares packed fingerprints. Nothing is re-exported
here, so that comparing fingerprints does not load rdkit.
"""
