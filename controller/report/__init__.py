"""The report of a campaign: gathered from journal and step folders, drawn, and written as one page.

::

    source.py      journal and step folders, asked by task and round
    gather.py      source -> Campaign (model.py): everything the page says, as values
    figures/       values -> PNG bytes
    structures.py  SMILES -> inline SVG that is safe to embed
    page.py        values and figures -> one HTML file

Rule of the house: no number without its error and its origin. A number that cannot be determined is an
Estimate without a value, which says why.
"""
