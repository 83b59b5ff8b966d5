"""Liquid handling as data: transfers, volume and tip ledger, compile, check, render.

Nothing here talks to a device. A protocol can be printed, compared, stored, proven and rendered for any robot.
"""
