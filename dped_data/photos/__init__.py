"""Every photo goes in and out here, the trainer's output too: formats, limits, EXIF, orientation, colour, bit depth.

It stands on `common`; every room of both packages may enter.
"""
