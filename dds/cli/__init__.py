"""The ``dds`` command.

``main.py`` parses and turns errors into exit codes; each other module is one
sub-command with ``add(commands)`` (its flags and help) and ``run(args)``.
"""
