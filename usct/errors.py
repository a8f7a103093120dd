"""Errors that a user can mend."""


class InputError(ValueError):
    """Bad input: one sentence that names the file or setting, the value found and the remedy.

    The command line prints the sentence without a traceback and exits with code 2.
    """
