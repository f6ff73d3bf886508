"""What is seen of the processor, away from its event loop.

- ``beat``: what a worker tells about itself, ten times a second, as data
"""
