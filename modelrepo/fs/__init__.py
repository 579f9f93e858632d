"""The only code that changes the disk: durable writes, link replacement, copy with digest, locks.

Functions here raise `OSError` where the system fails; the operations above wrap it at the border.
"""
