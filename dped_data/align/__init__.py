"""Where every window of the phone photo lies in the DSLR photo, to a tenth of a pixel, and how sure that is.

It is entered by `pipeline`, `records`, `warped_photo`, `ncc`, `resampling` and `target_quality` alone.
"""
