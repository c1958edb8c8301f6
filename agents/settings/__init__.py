"""What a deployment is told: settings, secrets, exit codes, errors, formats; lowest of all.

Enters: flags, environment, files. Leaves: `Settings`, or what is wrong with them.
"""
