"""The simulated lab: hidden biology, rendered images, devices with physics and faults behind the real ports.

Only ``sim.lab`` is imported from outside, and only by the composition root ``controller.app``.
"""
