"""Sets the project up and starts it: setup.sh and setup.bat hand over to `python installer/__main__.py`.

Standard library only, because it runs before anything is installed.
"""
