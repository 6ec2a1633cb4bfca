"""What every room may use and that knows nothing of photos: files, records of ownership, processes, stores, settings.

It imports itself and `errors` alone; every room of both packages may enter.
"""
