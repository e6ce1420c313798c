"""Settings of other programs, and of earlier versions of this one: read into options, with a report of every value."""
