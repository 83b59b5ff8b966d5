"""Liquid handling as data: steps, volume and tip ledger, compile, check, render.

Nothing here talks to a device. A protocol can be printed, compared, stored, proven and rendered for any robot::

    orders, stock, tips --compile_orders--> Protocol      what goes where: doses to volumes, dilutions, decks, tips
    Protocol, Ledger, robot --check--> problems           each with its well; empty: it may run
    Ledger --reserve--> booked --commit(Outcome)--> Ledger   what the device confirmed; after a fault, intervals
    Ledger, protocols --shortages--> what to fill         before the night
    Protocol --describe, diff, carry_over--> words        for people

``model`` and ``steps`` are the nouns. ``compile`` uses ``dosing``, ``dilute``, ``draws``, ``strokes``, ``runs``,
``tipping``, ``deckplan`` and ``loads``; ``check`` uses ``judge``, ``judge_steps`` and ``judge_strokes``; ``ledger``
uses ``outcome``, ``settle`` and ``volumes``. ``render``, ``analyze`` and ``proof`` are the vendor's side,
``handwritten`` the books of a vendor's file that somebody wrote by hand.
"""
