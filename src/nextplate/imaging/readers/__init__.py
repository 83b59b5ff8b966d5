"""One file per microscope: what lies in a plate folder, as `nextplate.imaging.listing.Listing`.

A reader only lists. Which z-step and time point are taken, what is missing and which wells of a plate still being
written may be used is decided in one place for all of them, `nextplate.imaging.selection`.
"""
